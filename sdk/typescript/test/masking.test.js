// The vectors that every reader of masking/rules.json is tested with.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { clean } from "../dist/clean.js";
import { Masker, StreamMasker } from "../dist/masking.js";

const vectors = JSON.parse(readFileSync(new URL("../../../masking/vectors.json", import.meta.url), "utf8"));
const joined = (parts) => (Array.isArray(parts) ? parts.join("") : parts);
const cuts = (text, count) => {
  const step = Math.max(1, Math.floor(text.length / count));
  return Array.from({ length: Math.ceil(text.length / step) }, (_, index) => index * step).slice(1);
};

test("each text becomes what its vector says", () => {
  assert.ok(vectors.texts.length > 100);
  for (const { text, masked } of vectors.texts) assert.equal(new Masker().mask(joined(text)), joined(masked));
});

test("names of members say what is a secret", () => {
  for (const { json, masked } of vectors.json) {
    assert.deepEqual(clean(JSON.parse(joined(json)), new Masker()), JSON.parse(joined(masked)));
  }
});

test("a text that comes in parts is masked as if it came whole", () => {
  for (const vector of vectors.texts) {
    const text = `before\n${joined(vector.text)}\nafter\n`;
    const whole = new Masker().mask(text);
    for (const cut of cuts(text, 30)) {
      const stream = new StreamMasker(new Masker());
      assert.equal(stream.push(text.slice(0, cut)) + stream.push(text.slice(cut)) + stream.flush(), whole, `${cut}`);
    }
    const stream = new StreamMasker(new Masker());
    assert.equal(Array.from(text.split(""), (unit) => stream.push(unit)).join("") + stream.flush(), whole);
  }
});

test("no whole secret leaves, however long its parts take", () => {
  for (const vector of vectors.texts) {
    const text = joined(vector.text);
    const secret = joined(vector.secret ?? "");
    if (secret === "") continue;
    for (const cut of cuts(text, 20)) {
      const stream = new StreamMasker(new Masker());
      const first = stream.push(text.slice(0, cut)) + stream.tick();
      const out = first + stream.push(text.slice(cut)) + stream.tick() + stream.flush();
      assert.ok(!out.includes(secret), `${vector.rule} at ${cut}`);
    }
  }
});

test("a prompt is seen while somebody thinks", () => {
  const stream = new StreamMasker(new Masker());
  assert.equal(stream.push("Password: "), "");
  assert.equal(stream.tick(), "Password: ");
});

test("what is allowed stays, and what is masked is counted", () => {
  const vector = vectors.texts.find(({ secret }) => secret);
  const text = joined(vector.text);
  assert.equal(new Masker([joined(vector.secret)]).mask(text), text);
  assert.equal(Masker.off().mask(text), text);
  const masker = new Masker();
  masker.mask(text);
  assert.deepEqual(masker.counts, { [vector.rule]: 1 });
});

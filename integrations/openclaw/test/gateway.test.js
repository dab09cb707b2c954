// What OpenClaw does, at a real Kulti: the real gateway with the plugin installed as a user installs it, and a model that
// says what it was told to say. One story: each test goes on where the one before ended.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { all, assertOnceAndInOrder, KultiServer, waitFor } from "../../../sdk/typescript/testing/server.js";
import { scriptedModel } from "../testing/model.js";
import { OpenClaw } from "../testing/openclaw.js";

const SECRET = ["ghp", "16C7e42F292c6912E7710c838347Ae178B4a"].join("_");
const PATCH = "*** Begin Patch\n*** Add File: new.txt\n+fresh\n*** Update File: a.txt\n@@\n one\n-three\n+four\n*** End Patch";
const SCRIPTS = {
  "fix the numbers": [
    {
      text: "I look at it first.",
      calls: [
        ["exec", { command: `echo "token ${SECRET}"; exit 3` }],
        ["write", { path: "a.txt", content: "one\ntwo\n" }],
      ],
      usage: { prompt: 100, cached: 40, completion: 10 },
    },
    {
      calls: [
        ["edit", { path: "a.txt", edits: [{ oldText: "two", newText: "three" }] }],
        ["read", { path: "missing.txt" }],
      ],
      usage: { prompt: 200, cached: 100, completion: 20 },
    },
    { calls: [["apply_patch", { input: PATCH }]], usage: { prompt: 300, cached: 200, completion: 30 } },
    { text: "All numbers are fixed.", usage: { prompt: 400, cached: 300, completion: 40 } },
  ],
  "make it fail": [{ status: 400, message: "the model does not like it" }],
  "ask another": [
    { calls: [["sessions_spawn", { task: "count the lines", label: "counter" }]] },
    { text: "Somebody else counts." },
  ],
  "count the lines": [{ calls: [["exec", { command: "wc -l < a.txt" }]] }, { text: "There are 2 lines." }],
  "background task completed": [{ text: "It counted 2 lines." }],
  "while it is away": [
    { calls: [["exec", { command: "echo nobody sees this now" }]] },
    { text: "Done without anybody." },
  ],
};

let kulti;
let model;
let openclaw;
before(async () => {
  model = await scriptedModel(SCRIPTS);
  [kulti, openclaw] = await Promise.all([KultiServer.start(), OpenClaw.create(model.url)]);
  await openclaw.install({ server: kulti.url });
  await openclaw.start();
});
after(async () => {
  await openclaw?.remove();
  model?.close();
  await kulti?.stop();
});

/** All sessions, in the order in which they began. */
async function sessions() {
  const found = await all(kulti.reader.sessions({ agent: "openclaw" }));
  return found.sort((one, other) => Date.parse(one.started_at) - Date.parse(other.started_at));
}

/** The newest session, once it is none of those that were before, and this holds for its events. */
async function session(holds, before = []) {
  return waitFor("the session", async () => {
    const newest = (await sessions()).at(-1);
    if (!newest || before.includes(newest.id)) return undefined;
    const events = await kulti.events(newest.id);
    return holds(events) && { ...newest, events };
  });
}

const of = (events, kind) => events.filter((event) => event.kind === kind).map(({ data }) => data);
const isTold = (status) => (events) => of(events, "status.changed").some((data) => data.status === status);

test("a run is a run in Kulti, with its messages, calls, changes and tokens", async () => {
  assert.equal(await openclaw.turn(`Please fix the numbers with ${SECRET}`), "All numbers are fixed.");
  const { id, events, title, task } = await session(isTold("completed"));
  assertOnceAndInOrder(events);
  assert.deepEqual(of(events, "session.started"), [
    { agent_name: "OpenClaw", agent_avatar: "🦞", tags: ["openclaw"] },
  ]);
  assert.deepEqual(of(events, "status.changed").map(({ status }) => status), ["working", "completed"]);
  assert.match(task ?? title, /^Please fix the numbers with \[masked:/);

  const messages = of(events, "message.completed");
  assert.deepEqual(messages.map(({ role }) => role), ["user", "assistant", "assistant"]);
  assert.deepEqual(messages.slice(1).map(({ content, model: by }) => [content, by]), [
    ["I look at it first.", "scripted"],
    ["All numbers are fixed.", "scripted"],
  ]);
  for (const { message, content } of messages.slice(1)) {
    const parts = of(events, "message.delta").filter((part) => part.message === message);
    assert.ok(parts.length > 0);
    assert.equal(parts.map(({ text }) => text).join(""), content);
  }

  const calls = of(events, "tool.started");
  assert.deepEqual(calls.map(({ name }) => name), ["exec", "write", "edit", "read", "apply_patch"]);
  const results = of(events, "tool.finished");
  assert.equal(new Set(results.map(({ call }) => call)).size, results.length);
  const status = Object.fromEntries(results.map((data) => [data.name, data.status]));
  assert.deepEqual(status, { exec: "error", write: "ok", edit: "ok", read: "error", apply_patch: "ok" });
  assert.deepEqual(calls.map(({ call }) => call).sort(), results.map(({ call }) => call).sort());
  assert.match(results.find(({ name }) => name === "read").output, /File not found/);
  assert.ok(results.every(({ duration_ms }) => duration_ms >= 0));

  const [exec] = calls;
  const command = of(events, "terminal.command");
  assert.deepEqual(command.map(({ call, cwd }) => [call, cwd]), [[exec.call, openclaw.workspace]]);
  assert.match(of(events, "terminal.output").map(({ text }) => text).join(""), /^token \S+\n$/);
  assert.deepEqual(of(events, "terminal.exited"), [{ code: 3, call: exec.call }]);

  assert.deepEqual(of(events, "code.changed").map(({ path, action }) => [path, action]), [
    ["a.txt", "create"],
    ["a.txt", "edit"],
    ["new.txt", "create"],
    ["a.txt", "edit"],
  ]);
  const [written, edited, added] = of(events, "code.changed");
  assert.equal(written.content, "one\ntwo\n");
  assert.match(edited.patch, /@@ -1,2 \+1,2 @@\n one\n-two\n\+three\n/);
  assert.equal(added.content, "fresh\n");
  assert.equal(readFileSync(join(openclaw.workspace, "a.txt"), "utf8"), "one\nfour\n");

  const [usage, ...more] = of(events, "usage");
  assert.deepEqual(more, []);
  const { cost_usd: cost, ...tokens } = usage;
  assert.deepEqual(tokens, { model: "scripted", input: 360, output: 100, cache_read: 640, cache_write: 0, scope: "turn" });
  assert.ok(Math.abs(cost - (360 + 2 * 100 + 0.5 * 640) / 1e6) < 1e-9, String(cost));

  assert.equal(JSON.stringify(events).includes(SECRET.slice(4)), false, "a secret is in Kulti");
  const state = await kulti.reader.state(id);
  assert.equal(JSON.stringify(state).includes(SECRET.slice(4)), false);
});

test("what a model refuses is an error of the session, which goes on", async () => {
  await openclaw.turn("Now make it fail").catch(() => undefined);
  const { events } = await session(isTold("failed"));
  assert.deepEqual(of(events, "error").map(({ code, fatal }) => [code, fatal]), [["400", false]]);
  assert.match(of(events, "error")[0].message, /the model does not like it/);
  assert.equal(events.at(-1).kind, "status.changed");
});

test("what a subagent does is part of the session it works for", async () => {
  assert.equal(await openclaw.turn("Please ask another"), "Somebody else counts.");
  const says = (words) => (found) => of(found, "message.completed").some(({ content }) => content === words);
  const { events } = await session(says("It counted 2 lines."));
  const spawn = of(events, "tool.started").find(({ name }) => name === "sessions_spawn");
  const count = of(events, "tool.started").find(({ subagent }) => subagent === "counter");
  assert.equal(count.name, "exec");
  assert.equal(count.parent, spawn.call);
  assert.equal(of(events, "message.completed").find(({ content }) => content === "There are 2 lines.").subagent, "counter");
});

let first;
test("a new conversation ends the session, and is another one", async () => {
  ({ id: first } = await session(() => true));
  await openclaw.turn("/new");
  const events = await kulti.ended(first);
  assert.deepEqual(events.at(-1).data, { reason: "completed" });
  assertOnceAndInOrder(events);
});

test("a Kulti that is away disturbs nothing, and hears of it when it is back", async () => {
  await kulti.kill();
  assert.equal(await openclaw.turn("Go on while it is away"), "Done without anybody.");
  await kulti.start();
  const { events } = await session(isTold("completed"), [first]);
  assertOnceAndInOrder(events);
  assert.deepEqual(of(events, "tool.finished").map(({ name, status }) => [name, status]), [["exec", "ok"]]);
  assert.match(of(events, "terminal.output")[0].text, /nobody sees this now/);
});

test("the gateway's end ends its sessions, and waits for no Kulti that is gone", async () => {
  const { id } = await session(() => true, [first]);
  await openclaw.stop();
  assert.deepEqual((await kulti.ended(id)).at(-1).data, { reason: "shutdown" });

  await kulti.kill();
  await openclaw.start();
  assert.equal(await openclaw.turn("Go on while it is away"), "Done without anybody.");
  const took = await openclaw.stop();
  // It would wait for minutes for a session that ends while the gateway goes on.
  assert.ok(took < 60_000, `it took ${took} ms to stop`);
  await kulti.start();
  // What is logged of a Kulti that is away is a line a session, not a flood.
  const warned = openclaw.log.split("\n").filter((line) => line.includes("events are kept and sent when it works"));
  assert.equal(warned.length, 2, warned.join("\n"));
});

test("a run without a gateway is a session that ends with it", async () => {
  const before = (await sessions()).map(({ id }) => id);
  await openclaw.cli("agent", "--local", "--agent", "main", "--session-id", "alone", "--message", "Go on while it is away");
  const { id } = await session(isTold("completed"), before);
  assert.deepEqual((await kulti.ended(id)).at(-1).data, { reason: "completed" });
});

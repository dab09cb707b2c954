// What an agent says, at a real Kulti; and servers that are away, slow, full, or lie.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";

import { BufferFull, Kulti, Reader, Refused, stream, Unreachable } from "../dist/index.js";
import { all, assertOnceAndInOrder, freePort, hangingServer, KultiServer, relay, said, waitFor } from "../testing/server.js";

let kulti;
before(async () => (kulti = await KultiServer.start()));
after(() => kulti.stop());

const GONE = `http://127.0.0.1:${await freePort()}`;

test("calls written for the first SDK work unchanged", async () => {
  const nex = new Kulti("first", { server: kulti.url });
  nex.think("Comparing", "evaluation", { options: ["a", "b"], chosen: "a" });
  await nex.code("app.py", "print('hello')", "write");
  await nex.code("app.py", "print('hello world')", "edit");
  const { session } = nex;
  assert.equal(await nex.end(), true);
  const events = await kulti.ended(session);
  const kinds = ["session.started", "thought", "code.changed", "code.changed", "session.ended"];
  assert.deepEqual(events.map(({ kind }) => kind), kinds);
  assert.deepEqual(events[1].data, {
    content: "Comparing",
    type: "evaluation",
    metadata: { options: ["a", "b"], chosen: "a" },
  });
  assert.deepEqual(events.slice(2, 4).map(({ data }) => data.action), ["create", "edit"]);
  stream.init("second", { server: kulti.url });
  stream.think("of the process");
  const of = stream.session;
  await stream.close();
  assert.deepEqual(said(await kulti.ended(of)), ["of the process"]);
});

test("everything that can be said is taken", async () => {
  const options = { server: kulti.url, task: "Say all", name: "Nex", avatar: "⚡", tags: ["t"], visibility: "public" };
  const nex = new Kulti("nex", options);
  nex.reason("why");
  nex.decide("which");
  nex.observe("what");
  nex.evaluate("weighing", ["a"], "a");
  nex.context("read", "README.md");
  nex.prompt("ask");
  nex.think("of its own kind", "musing");
  nex.command("make", { cwd: "/src" });
  nex.output("one\ntw");
  nex.output("o\n", { stream: "stderr" });
  nex.output(new Uint8Array([0xe2, 0x9c]));
  nex.output(new Uint8Array([0x93, 0x0a]));
  nex.exited(0);
  nex.resized(100, 30);
  nex.terminal("npm run dev", "command");
  nex.terminal("✓ Ready", "success");
  nex.code("b.rs", undefined, "edit", { patch: "@@ -1 +1 @@\n-a\n+b\n" });
  nex.code("b.rs", undefined, "delete");
  nex.tool("search", { query: "kulti" }).finish({ hits: 1 });
  nex.tool("divide").fail(new RangeError("by zero"));
  const message = nex.messageStream({ model: "m" });
  message.write("Let me see", "thinking");
  for (const part of ["Hel", "lo\nwor", "ld"]) message.write(part);
  message.complete();
  nex.message("Go on", { role: "user" });
  nex.status("waiting", "for tests");
  nex.live();
  nex.progress({ title: "building", done: 1, total: 3, plan: [{ text: "test", state: "pending" }] });
  nex.usage("m", { input: 10, output: 2, cache_read: 3, cache_write: 4, cost_usd: 0.5, scope: "call" });
  nex.marker("half way", 2);
  nex.error(new TypeError("bad"), { code: "e" });
  nex.memory("likes tea", { key: "tea", tags: ["taste"] });
  nex.preview("http://127.0.0.1:3000", 3000);
  nex.previewClosed("http://127.0.0.1:3000");
  nex.task("Another", "in detail");
  const cause = nex.emit("custom", { name: "mine", value: [1] });
  nex.emit("custom", { name: "mine", value: 2 }, { cause });
  assert.equal(await nex.flush(), true);
  assert.equal(nex.counts.rejected, 0);
  const { session } = nex;
  await nex.end();
  const events = await kulti.ended(session);
  assertOnceAndInOrder(events);
  const of = (kind) => events.filter((event) => event.kind === kind).map(({ data }) => data);
  assert.deepEqual(of("session.started"), [
    { task: "Say all", visibility: "public", tags: ["t"], agent_name: "Nex", agent_avatar: "⚡" },
  ]);
  assert.equal(of("terminal.output").map(({ text }) => text).join(""), "one\ntwo\n✓\n✓ Ready\n");
  assert.deepEqual(of("tool.finished").map(({ status }) => status), ["ok", "error"]);
  const text = of("message.delta").filter(({ channel }) => channel === "text");
  assert.equal(text.map((data) => data.text).join(""), "Hello\nworld");
  assert.deepEqual(of("message.completed").map(({ content }) => content), ["Hello\nworld", "Go on"]);
  assert.match(of("error")[0].stack, /TypeError: bad/);
});

test("a run ends its session, as completed or as failed", async () => {
  let session;
  const options = { server: kulti.url };
  const remember = (nex) => (session = nex.session);
  assert.equal(await Kulti.run("nex", options, (nex) => (remember(nex), 42)), 42);
  assert.equal((await kulti.ended(session)).at(-1).data.reason, "completed");
  const failing = Kulti.run("nex", options, (nex) => {
    remember(nex);
    nex.output("no line end");
    throw new Error("lost");
  });
  await assert.rejects(failing, /lost/);
  const events = await kulti.ended(session);
  assert.deepEqual(events.map(({ kind }) => kind), ["session.started", "terminal.output", "error", "session.ended"]);
  assert.equal(events.at(-1).data.reason, "failed");
});

test("what cannot be JSON is said as text, and never throws", async () => {
  const ring = {};
  ring.self = ring;
  const metadata = { a: new Set([1]), b: 10n, c: new Date(0), d: NaN, e: ring, f: "\ud800", g: () => 1, h: undefined };
  metadata.i = { toJSON: () => { throw new Error("no"); } };
  metadata.j = { ["__proto__x"]: 1 };
  const nex = new Kulti("nex", { server: kulti.url });
  nex.think("odd \0", "general", metadata);
  nex.output("y".repeat(300_000) + "\n");
  nex.code("big.txt", "x".repeat(2_000_000));
  const { session } = nex;
  await nex.end();
  const events = await kulti.ended(session);
  const told = events[1].data.metadata;
  assert.deepEqual([told.a, told.b, told.c, told.d, told.f], [[1], "10", "1970-01-01T00:00:00.000Z", "NaN", "\ufffd"]);
  assert.ok(!("h" in told));
  assert.equal(events[1].data.content, "odd \0");
  const printed = events.filter(({ kind }) => kind === "terminal.output").map(({ data }) => data.text.length);
  assert.equal(printed.reduce((sum, length) => sum + length), 300_001);
  assert.deepEqual(events.filter(({ kind }) => kind === "error").map(({ data }) => data.code), ["event_too_large"]);
});

test("a refused event is counted, and strict streams throw it", async () => {
  const nex = new Kulti("nex", { server: kulti.url });
  nex.emit("chat", { text: "as a viewer" });
  nex.think("after");
  assert.equal(await nex.flush(), true);
  assert.equal(nex.counts.rejected, 1);
  const { session } = nex;
  await nex.end();
  assert.deepEqual(said(await kulti.ended(session)), ["after"]);
  const strict = new Kulti("nex", { server: kulti.url, strict: true });
  strict.emit("chat", { text: "as a viewer" });
  await assert.rejects(strict.flush(), (error) => error instanceof Refused && error.code === "kind_not_allowed");
  await strict.end();
  const alone = new Kulti("nex", { server: GONE, strict: true, closeTimeoutMs: 200 });
  await assert.rejects(alone.flush(200), Unreachable);
  await assert.rejects(alone.end(), Unreachable);
});

test("a silent agent gives a sign of life", async () => {
  const nex = new Kulti("nex", { server: kulti.url, heartbeatMs: 300 });
  nex.status("compiling", "for long");
  const events = await waitFor("four events", async () => {
    const found = await kulti.events(nex.session);
    return found.length >= 4 && found;
  });
  const told = events.filter(({ kind }) => kind === "status.changed").map(({ data }) => data);
  assert.deepEqual(told.slice(0, 3), Array(3).fill({ status: "compiling", detail: "for long" }));
  await nex.end();
});

test("secrets do not leave, however they are said", async () => {
  const secret = "ghp_" + "x7Kq2mZ9vB4nL8wR1tY6" + "uJ3hF5sD0aPcEgQi";
  const nex = new Kulti("nex", { server: kulti.url });
  nex.think(`the token is ${secret}`, "general", { env: [secret] });
  for (const part of ["export GH=", secret.slice(0, 9), secret.slice(9, 20), secret.slice(20), "\n"]) nex.output(part);
  const message = nex.messageStream();
  message.write(secret.slice(0, 12));
  message.write(secret.slice(12));
  message.complete();
  const { session } = nex;
  await nex.end();
  const told = JSON.stringify(await kulti.ended(session));
  assert.ok(!told.includes(secret) && !told.includes(secret.slice(4, 12)), told);
  assert.ok(told.split("[masked:github-token]").length > 5, told);
});

test("a server that is killed and comes back has each event once, in order", async () => {
  const nex = new Kulti("nex", { server: kulti.url, closeTimeoutMs: 60_000 });
  const { session } = nex;
  let number = 0;
  const say = async (count) => {
    for (let index = 0; index < count; index += 1) {
      nex.think(String(number++));
      if (number % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await say(300);
  await waitFor("a session", async () => (await kulti.events(session)).length > 0);
  const watching = all(kulti.reader.watch(session, { start: "start" }));
  for (let round = 0; round < 2; round += 1) {
    await say(300);
    await kulti.kill();
    await say(300);
    await kulti.start();
  }
  await say(300);
  assert.equal(await nex.end(), true);
  const events = await kulti.ended(session);
  assertOnceAndInOrder(events);
  assert.deepEqual(said(events), Array.from({ length: number }, (_, index) => String(index)));
  assert.deepEqual((await watching).map(({ id }) => id), events.map(({ id }) => id), "a viewer saw another session");
});

test("answers that say later are obeyed, and nothing is doubled or lost", async () => {
  const front = await relay(kulti.url);
  const later = { "retry-after": "0.2" };
  front.behaviours.push("lose the answer", "lose the answer", [500, {}], [401, {}], [503, later], [429, later]);
  const nex = new Kulti("nex", { server: front.url, closeTimeoutMs: 60_000 });
  for (let number = 0; number < 50; number += 1) nex.think(String(number));
  const { session } = nex;
  assert.equal(await nex.end(), true);
  assert.equal(front.behaviours.length, 0);
  front.close();
  const events = await kulti.ended(session);
  assertOnceAndInOrder(events);
  assert.equal(said(events).length, 50);
});

test("a full buffer tells what it let go of, and keeps what matters", async () => {
  const front = await relay(kulti.url);
  front.behaviours.push([503, { "retry-after": "1" }]);
  const nex = new Kulti("nex", { server: front.url, maxBufferedEvents: 50, closeTimeoutMs: 60_000 });
  await waitFor("the first attempt", () => front.requests);
  for (let number = 0; number < 20; number += 1) nex.think(String(number));
  for (let number = 0; number < 500; number += 1) nex.output(`${number}\n`);
  const { session } = nex;
  assert.equal(await nex.end(), true);
  front.close();
  const events = await kulti.ended(session);
  assert.equal(said(events).length, 20);
  const [loss] = events.filter(({ kind }) => kind === "error").map(({ data }) => data);
  const printed = events.filter(({ kind }) => kind === "terminal.output").map(({ data }) => Number(data.text));
  assert.equal(loss.code, "buffer_full");
  assert.equal(loss.events + printed.length, 500);
  assert.deepEqual(printed, Array.from(printed, (_, index) => 500 - printed.length + index), "the oldest went");
  const numbers = new Set(events.map(({ seq }) => seq));
  for (let seq = loss.first_seq + 1; seq <= loss.last_seq; seq += 1) assert.ok(!numbers.has(seq));
  const strict = new Kulti("nex", { server: GONE, strict: true, maxBufferedEvents: 5, closeTimeoutMs: 100 });
  const sayMuch = () => Array.from({ length: 20 }, () => strict.think("x"));
  assert.throws(sayMuch, BufferFull);
  await strict.end().catch(() => undefined);
});

test("any moment can be read back", async () => {
  const nex = new Kulti("historian", { server: kulti.url, title: "Moments" });
  for (let number = 0; number < 20; number += 1) nex.think(`thought ${number}`);
  nex.code("src/a.py", "x = 1\n");
  const { session } = nex;
  await nex.end();
  await kulti.ended(session);
  const reader = new Reader({ server: kulti.url });
  assert.equal((await reader.state(session, 5)).position, 5);
  assert.equal((await reader.state(session)).position, 23);
  assert.equal((await reader.session(session)).title, "Moments");
  assert.deepEqual((await all(reader.sessions({ agent: "historian", limit: 1 }))).map(({ id }) => id), [session]);
  assert.equal(said(await all(reader.replay(session, { speed: "max" }))).length, 20);
  assert.equal(said(await all(reader.replay(session, { start: 11, speed: 64 }))).length, 10);
  const kinds = (await all(reader.watch(session, { start: "start", kinds: ["code.changed"] }))).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["session.started", "code.changed", "session.ended"], "what frames a session is never hidden");
  await assert.rejects(reader.state("nobody-knows-this"), (error) => error.code === "not_found" && error.status === 404);
  const aborting = new AbortController();
  const left = all(reader.watch(nex.session || session, { start: "live", signal: aborting.signal }));
  aborting.abort();
  assert.deepEqual(await left, []);
});

/** A process of its own, which says things and has nothing more to do. Its exit code and how long it took. */
async function runAgent(url, more = "") {
  const code = `
    import { Kulti } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
    const nex = new Kulti("leaver", { closeTimeoutMs: 1000, heartbeatMs: 200 });
    for (let number = 0; number < 500; number += 1) nex.think(String(number));
    nex.output("no line end");
    console.log(nex.session);
    ${more}`;
  const env = { PATH: process.env.PATH, KULTI_URL: url };
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { env, stdio: ["ignore", "pipe", "inherit"] });
  const out = all(child.stdout.setEncoding("utf8"));
  const exit = await new Promise((resolve) => child.once("exit", resolve));
  return { exit, session: (await out).join("").trim() };
}

test("a process that has nothing more to do delivers what it said", async () => {
  const { exit, session } = await runAgent(kulti.url);
  assert.equal(exit, 0);
  const events = await kulti.ended(session);
  assert.equal(said(events).length, 500);
  assert.deepEqual(events.at(-2).data, { text: "no line end" });
});

test("many sessions of one process wait for its end with one listener", async () => {
  const before = process.listenerCount("beforeExit");
  const streams = Array.from({ length: 20 }, () => new Kulti("many", { server: GONE }));
  assert.ok(process.listenerCount("beforeExit") <= before + 1);
  assert.deepEqual(await Promise.all(streams.map((one) => one.end("completed", undefined, 1))), streams.map(() => false));
  assert.equal(process.listenerCount("beforeExit"), before);
});

test("an agent never waits for a server that is gone or hangs", async () => {
  const hanging = await hangingServer();
  for (const url of [GONE, hanging.url]) {
    assert.equal((await runAgent(url, "await nex.end();")).exit, 0);
    const nex = new Kulti("nex", { server: url, closeTimeoutMs: 200 });
    for (let number = 0; number < 5000; number += 1) nex.think(String(number));
    assert.equal(await nex.flush(100), false);
    assert.equal(await nex.end(), false);
  }
  assert.equal((await runAgent(GONE)).exit, 0);
  hanging.close();
});

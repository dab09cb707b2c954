// A real Kulti for the tests, and servers in front of it, or instead of it. The suite of the workspace
// (cli/tests/e2e/sdks.rs) names the binary and its servers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Reader } from "../dist/index.js";

const LIMIT_MS = 60_000;

/** Waits until `look` gives something. */
export async function waitFor(what, look) {
  const deadline = Date.now() + LIMIT_MS;
  while (Date.now() < deadline) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
}

export async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

/** `kulti serve` as a process of its own, which can be killed and started again at the same address. */
export class KultiServer {
  #child;
  #home = mkdtempSync(join(tmpdir(), "kulti-sdk-"));

  static async start() {
    const server = new KultiServer();
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.reader = new Reader({ server: server.url });
    await server.start();
    return server;
  }

  async start() {
    const binary = process.env.KULTI_TEST_BINARY;
    assert.ok(binary, "KULTI_TEST_BINARY is not set: run `make test T=sdk`, or see CONTRIBUTING.md");
    const env = { ...process.env, HOME: this.#home, KULTI_LOG: "error" };
    this.#child = spawn(binary, ["serve", "--listen", `127.0.0.1:${this.port}`], { env, stdio: ["ignore", "inherit", "inherit"] });
    await waitFor("kulti is ready", async () => {
      assert.equal(this.#child.exitCode, null, "kulti did not start");
      return fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  async kill(signal = "SIGKILL") {
    assert.equal(this.#child.exitCode, null, "kulti ended by itself");
    const gone = once(this.#child, "exit");
    this.#child.kill(signal);
    await gone;
  }

  async stop() {
    await this.kill("SIGTERM");
    rmSync(this.#home, { recursive: true });
  }

  /** All events of a session, once it has ended. Their positions have no holes. */
  async ended(session) {
    const events = await waitFor(`the end of ${session}`, async () => {
      const found = await this.events(session);
      return found.at(-1)?.kind === "session.ended" && found;
    });
    assert.deepEqual(events.map((event) => event.position), events.map((_, index) => index + 1));
    return events;
  }

  /** What replay has of it by now. */
  async events(session) {
    try {
      return await all(this.reader.events(session));
    } catch (error) {
      assert.equal(error.code, "not_found", error.message);
      return [];
    }
  }
}

export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

/** The contents of the thoughts among them. */
export const said = (events) => events.filter(({ kind }) => kind === "thought").map(({ data }) => data.content);

export function assertOnceAndInOrder(events) {
  assert.deepEqual(events.map((event) => event.seq), events.map((_, index) => index));
  assert.equal(new Set(events.map((event) => event.id)).size, events.length);
}

/** Passes requests on to a real server, but for those that it was told something else about. */
export async function relay(target) {
  const behaviours = [];
  const relay = { behaviours, requests: 0 };
  const server = http.createServer(async (request, response) => {
    const parts = await all(request);
    relay.requests += 1;
    const behaviour = behaviours.shift() ?? "pass";
    if (Array.isArray(behaviour)) {
      response.writeHead(behaviour[0], behaviour[1]).end('{"title":"later","code":"busy"}');
      return;
    }
    const headers = { "content-type": request.headers["content-type"] };
    const answer = await fetch(target + request.url, { method: "POST", headers, body: Buffer.concat(parts) });
    const body = await answer.text();
    if (behaviour === "lose the answer") response.destroy();
    else response.writeHead(answer.status, { "content-type": "application/json" }).end(body);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  relay.url = `http://127.0.0.1:${server.address().port}`;
  relay.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return relay;
}

/** Takes connections and never says a word. */
export async function hangingServer() {
  const sockets = new Set();
  const server = net.createServer((socket) => sockets.add(socket.on("error", () => undefined)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

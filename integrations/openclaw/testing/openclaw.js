// The real OpenClaw, from its npm package, in a home of its own: the plugin is installed as a user installs it.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { freePort, waitFor } from "../../../sdk/typescript/testing/server.js";

const PLUGIN = fileURLToPath(new URL("..", import.meta.url));
const OPENCLAW = join(PLUGIN, "node_modules/openclaw/openclaw.mjs");
const run = promisify(execFile);

export class OpenClaw {
  #gateway;
  #home = mkdtempSync(join(tmpdir(), "kulti-openclaw-"));

  /** With a model at this address, and nothing else configured. */
  static async create(model) {
    const openclaw = new OpenClaw();
    openclaw.port = await freePort();
    openclaw.workspace = join(openclaw.#home, "workspace");
    mkdirSync(join(openclaw.#home, ".openclaw"));
    mkdirSync(openclaw.workspace);
    const scripted = {
      id: "scripted",
      name: "Scripted",
      input: ["text"],
      cost: { input: 1, output: 2, cacheRead: 0.5, cacheWrite: 0 },
      contextWindow: 120_000,
      maxTokens: 8192,
    };
    const config = {
      agents: { defaults: { workspace: openclaw.workspace, skipBootstrap: true, model: { primary: "local/scripted" } } },
      models: { providers: { local: { baseUrl: model, apiKey: "none", api: "openai-completions", models: [scripted] } } },
      gateway: { mode: "local", bind: "loopback", port: openclaw.port, auth: { mode: "token", token: "of the test" } },
      tools: { toolSearch: false },
      logging: { file: join(openclaw.#home, "log") },
    };
    writeFileSync(join(openclaw.#home, ".openclaw/openclaw.json"), JSON.stringify(config));
    return openclaw;
  }

  /** The two commands of docs/agents/openclaw.md. */
  async install(settings) {
    const { stdout } = await this.#npm("pack", "--pack-destination", this.#home, "--json", PLUGIN);
    const [packed] = Object.values(JSON.parse(stdout));
    await this.cli("plugins", "install", `npm-pack:${join(this.#home, packed.filename)}`, "--force", "--accept-capabilities");
    const entry = { hooks: { allowConversationAccess: true }, config: settings };
    await this.cli("config", "set", "plugins.entries.kulti", JSON.stringify(entry), "--strict-json", "--merge");
  }

  async start() {
    const log = openSync(join(this.#home, "gateway.log"), "a");
    const stdio = ["ignore", log, log];
    this.#gateway = spawn(process.execPath, [OPENCLAW, "gateway", "run"], { env: this.#env, cwd: this.#home, stdio });
    await waitFor("OpenClaw's gateway is ready", async () => {
      assert.equal(this.#gateway.exitCode, null, this.log);
      return fetch(`http://127.0.0.1:${this.port}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  /** One turn of the agent; what it says last. */
  async turn(message) {
    const { stdout } = await this.cli("agent", "--agent", "main", "--message", message, "--json");
    const { result } = JSON.parse(stdout);
    return result.payloads.at(-1)?.text;
  }

  async cli(...args) {
    return run(process.execPath, [OPENCLAW, ...args], { env: this.#env, cwd: this.#home, maxBuffer: 64 * 1024 * 1024 });
  }

  /** Ends the gateway as its user does. How long that took. */
  async stop() {
    const begun = Date.now();
    const gone = once(this.#gateway, "exit");
    this.#gateway.kill("SIGTERM");
    const [code] = await gone;
    assert.equal(code, 0, this.log);
    return Date.now() - begun;
  }

  /** What the gateway wrote. */
  get log() {
    return readFileSync(join(this.#home, "gateway.log"), "utf8");
  }

  async remove() {
    if (this.#gateway?.exitCode === null) await this.stop();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }

  async #npm(...args) {
    return run("npm", args, { env: { ...process.env, PATH: this.#env.PATH } });
  }

  get #env() {
    const { PATH, TMPDIR, NODE_EXTRA_CA_CERTS, npm_config_registry } = process.env;
    return {
      PATH: `${dirname(process.execPath)}${delimiter}${PATH}`,
      ...Object.fromEntries(Object.entries({ TMPDIR, NODE_EXTRA_CA_CERTS, npm_config_registry }).filter(([, value]) => value)),
      HOME: this.#home,
      SHELL: "/bin/bash",
      NO_COLOR: "1",
      OPENCLAW_OFFLINE: "1",
      OPENCLAW_NO_AUTO_UPDATE: "1",
      OPENCLAW_DISABLE_BONJOUR: "1",
    };
  }
}

/** One session of OpenClaw as a session of Kulti: what its runs say, in the order in which they say it. */

import type { Kulti, Message } from "kulti";

import { type HookContext, type HookEvent, isObject, type RunEvent, text } from "./host.js";
import { type Call, resultOf, tellCall, tellResult, untold } from "./tools.js";

/** Kulti takes a session for quiet after two minutes without a word. */
const HEARTBEAT_MS = 60_000;
const TASK_CHARACTERS = 300;
/** Runs that have ended and of which hooks may still tell. */
const RUNS_OVER = 1000;
/** OpenClaw dates what the model is asked: `[Sat 2026-11-21 13:04 UTC] …`. */
const ASKED_AT = /^\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d [^\]]{1,40}\] /;

/** For whom a run speaks. */
export interface Speaker {
  /** The subagent's name. */
  subagent?: string | undefined;
  /** The call that it works for. */
  parent?: string | undefined;
}

/** A run of the agent that goes on. */
export interface Run {
  speaker: Speaker;
  model: string | undefined;
  isAsked: boolean;
  hasSpoken: boolean;
  hasFailed: boolean;
  /** The message that is being said. */
  message: { item: string | undefined; content: string; stream: Message | undefined } | undefined;
  thinking: string;
  calls: Map<string, OpenCall>;
  heartbeat: NodeJS.Timeout | undefined;
}

interface OpenCall extends Call {
  /** What the run's own event told of the result; the hook tells more, where there is one. */
  result?: { result: unknown; isError: boolean };
}

export class Recording {
  #runs = new Map<string, Run>();
  #hasTask = false;
  /** Where commands are run. */
  #folder: string | undefined;

  /** `over` are the runs that have ended, in whatever session. */
  constructor(
    readonly stream: Kulti,
    private readonly over: Set<string>,
  ) {}

  get isIdle(): boolean {
    return this.#runs.size === 0;
  }

  /** A run begins to be known with whatever it says first. What is told after its end begins no other one. */
  run(id: string, speaker: Speaker): Run {
    const known = this.#runs.get(id);
    if (known) return known;
    const isOver = this.over.has(id);
    const working = () => this.stream.emit("status.changed", { status: "working", run: id, ...speaker });
    const run: Run = {
      speaker,
      model: undefined,
      isAsked: false,
      hasSpoken: false,
      hasFailed: false,
      message: undefined,
      thinking: "",
      calls: new Map(),
      heartbeat: isOver ? undefined : setInterval(working, HEARTBEAT_MS).unref(),
    };
    if (isOver) return run;
    this.#runs.set(id, run);
    working();
    return run;
  }

  /** What the model is asked. Attempts ask the same again. */
  asked(run: Run, event: HookEvent<"llm_input">, context: HookContext<"llm_input">): void {
    this.#folder ??= context.workspaceDir;
    run.model = event.model;
    if (run.isAsked) return;
    run.isAsked = true;
    const content = event.prompt.replace(ASKED_AT, "");
    this.#tellMessage(run, { message: `${event.runId}:prompt`, role: "user", content, trigger: context.trigger });
    const isFromPerson = context.trigger === undefined || context.trigger === "user";
    if (this.#hasTask || !isFromPerson || run.speaker.subagent) return;
    this.#hasTask = true;
    this.stream.task(content.trim().slice(0, TASK_CHARACTERS));
  }

  /** What came of the model's calls. */
  answered(run: Run, event: HookEvent<"llm_output">): void {
    this.#settle(run);
    // Not every harness says its texts while they come.
    if (!run.hasSpoken) for (const said of event.assistantTexts) this.#tellMessage(run, { content: said });
    run.hasSpoken ||= event.assistantTexts.length > 0;
    this.#tellUsage(event);
    const last = event.lastAssistant;
    const message = text(last, "errorMessage");
    if (message === undefined || text(last, "stopReason") !== "error") return;
    run.hasFailed = true;
    this.stream.emit("error", { message, code: text(last, "errorCode") ?? "model_error", fatal: false, ...run.speaker });
  }

  /** The result of a call, as the hook has it: more than the run's own event. */
  finished(run: Run, event: HookEvent<"after_tool_call">): void {
    const id = event.toolCallId;
    if (id === undefined) return;
    const call = run.calls.get(id) ?? this.#started(run, id, event.toolName, event.params);
    this.#finished(run, { ...call, input: event.params }, event.result, event.error, event.durationMs);
  }

  /** What a run says of itself while it goes on. `hears` tells whether it is for others to hear what is said. */
  told(event: RunEvent, speaker: Speaker, hears: boolean): void {
    const { data } = event;
    const phase = text(data, "phase");
    const run = beginsRun(event) ? this.run(event.runId, speaker) : this.#runs.get(event.runId);
    if (!run) return;
    switch (event.stream) {
      case "assistant":
        if (hears) this.#speaks(run, data);
        break;
      case "thinking":
        if (hears) this.#thinks(run, text(data, "text") ?? "");
        break;
      case "tool":
        this.#uses(run, phase, data);
        break;
      case "plan":
        this.#plans(run, data);
        break;
      case "compaction":
        if (phase === "end") this.stream.emit("status.changed", { status: "compacted", run: event.runId });
        break;
      case "lifecycle":
        if (phase === "model") run.model = text(data, "model") ?? run.model;
        if (phase === "end" || phase === "error") this.#ended(event.runId, run, phase, data);
        break;
    }
  }

  /** The call of this tool that has no result yet, if it is one. */
  openCall(tool: string): string | undefined {
    const calls = [...this.#runs.values()].flatMap((run) => [...run.calls.values()]);
    const found = calls.filter((call) => call.tool === tool);
    return found.length === 1 ? found[0]?.id : undefined;
  }

  /** Says what is still open. Then nothing more is to come. */
  close(): void {
    for (const [id, run] of this.#runs) this.#close(id, run);
  }

  #speaks(run: Run, data: Record<string, unknown>): void {
    this.#settleThinking(run);
    const item = text(data, "itemId");
    if (run.message && run.message.item !== item) this.#settleMessage(run);
    run.hasSpoken = true;
    if (!run.message) {
      // What a subagent says is marked, and parts have no place for that.
      const stream = run.speaker.subagent ? undefined : this.stream.messageStream(run.model ? { model: run.model } : {});
      run.message = { item, content: "", stream };
    }
    const delta = text(data, "delta");
    if (delta) run.message.stream?.write(delta);
    run.message.content = text(data, "text") ?? "";
  }

  /** The thought so far. Another one begins where it does not go on. */
  #thinks(run: Run, thinking: string): void {
    this.#settleMessage(run);
    if (run.thinking && !thinking.startsWith(run.thinking)) this.#settleThinking(run);
    run.thinking = thinking;
  }

  #uses(run: Run, phase: string | undefined, data: Record<string, unknown>): void {
    const id = text(data, "toolCallId");
    if (id === undefined) return;
    const call = run.calls.get(id);
    if (phase === "start" && !call) {
      const input = isObject(data["args"]) ? data["args"] : {};
      this.#started(run, id, text(data, "name") ?? "unknown", input, text(data, "parentToolCallId"));
    } else if (phase === "result" && call) {
      call.result = { result: data["result"], isError: data["isError"] === true };
    }
  }

  #plans(run: Run, data: Record<string, unknown>): void {
    const steps = Array.isArray(data["steps"]) ? data["steps"] : [];
    const plan = steps.map((step: unknown) => ({
      text: text(step, "step") ?? (typeof step === "string" ? step : ""),
      state: text(step, "status") ?? "pending",
    }));
    const done = plan.filter(({ state }) => state === "completed").length;
    const title = text(data, "explanation");
    this.stream.emit("progress", { title, plan, done, total: plan.length, ...run.speaker });
  }

  #started(run: Run, id: string, tool: string, input: Record<string, unknown>, within?: string): OpenCall {
    this.#settle(run);
    const call: OpenCall = { id, tool, input };
    run.calls.set(id, call);
    const { subagent, parent } = run.speaker;
    this.stream.emit("tool.started", { call: id, name: tool, input, parent: within ?? parent, subagent });
    tellCall(this.stream, call, this.#folder);
    return call;
  }

  #finished(run: Run, call: OpenCall, told: unknown, error?: string, duration?: number): void {
    run.calls.delete(call.id);
    const result = resultOf(told, error);
    this.stream.emit("tool.finished", {
      call: call.id,
      name: call.tool,
      status: result.isError ? "error" : "ok",
      output: result.text,
      duration_ms: duration,
      result: untold(call, result),
      ...run.speaker,
    });
    tellResult(this.stream, call, result);
  }

  #ended(id: string, run: Run, phase: "end" | "error", data: Record<string, unknown>): void {
    this.#close(id, run);
    const message = text(data, "error");
    const wasStopped = data["aborted"] === true;
    const status = phase === "error" || run.hasFailed ? "failed" : wasStopped ? "cancelled" : "completed";
    if (phase === "error" && !run.hasFailed) {
      this.stream.emit("error", { message: message ?? "the run failed", code: "run_failed", fatal: false, ...run.speaker });
    }
    this.stream.emit("status.changed", { status, detail: message, run: id, ...run.speaker });
  }

  #close(id: string, run: Run): void {
    clearInterval(run.heartbeat);
    this.#runs.delete(id);
    this.over.add(id);
    for (const oldest of this.over) if (this.over.size > RUNS_OVER) this.over.delete(oldest);
    this.#settle(run);
    for (const call of run.calls.values()) {
      const { result, isError } = call.result ?? { result: "no result was told", isError: true };
      this.#finished(run, call, result, isError ? (text(result, "error") ?? "failed") : undefined);
    }
  }

  #settle(run: Run): void {
    this.#settleThinking(run);
    this.#settleMessage(run);
  }

  #settleThinking(run: Run): void {
    const content = run.thinking;
    run.thinking = "";
    if (content) this.stream.emit("thought", { content, type: "reasoning", ...run.speaker });
  }

  #settleMessage(run: Run): void {
    const { message } = run;
    run.message = undefined;
    if (message?.stream) message.stream.complete(message.content);
    else if (message?.content) this.#tellMessage(run, { content: message.content });
  }

  #tellMessage(run: Run, said: { content: string; role?: string; message?: string; trigger?: string | undefined }): void {
    const message = said.message ?? crypto.randomUUID();
    const role = said.role ?? "assistant";
    const model = role === "assistant" ? run.model : undefined;
    this.stream.emit("message.completed", { ...said, message, role, model, ...run.speaker });
  }

  #tellUsage({ model, usage }: HookEvent<"llm_output">): void {
    if (!usage) return;
    const { input, output, cacheRead, cacheWrite } = usage;
    // The type of the hook does not name it; its events have it where the model has a price.
    const cost = (usage as { cost?: { total?: unknown } }).cost?.total;
    this.stream.usage(model, {
      input,
      output,
      cache_read: cacheRead,
      cache_write: cacheWrite,
      cost_usd: typeof cost === "number" && cost > 0 ? cost : undefined,
      scope: "turn",
    });
  }
}

/** Whether a run is known to go on with this: what is said about its end begins none. */
export function beginsRun({ stream, data }: RunEvent): boolean {
  return stream !== "lifecycle" || data["phase"] === "start";
}

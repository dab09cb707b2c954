/**
 * The plugin: hears OpenClaw's hooks and what its runs say, and hands it to the stage.
 *
 * It only observes. No hook that decides anything is registered: one that fails could stop a run or a tool, and some
 * change how OpenClaw takes messages in (`before_message_write`, `before_agent_run`). Nothing waits for the network but
 * the end of the process.
 *
 * What viewers say and decide comes later: their chat as `api.session.workflow.enqueueNextTurnInjection` of the session
 * that it is said to, their approvals as `requireApproval` of `before_tool_call`. Both belong here, beside the hooks.
 */

import { definePluginEntry } from "openclaw/plugin-sdk/plugin-entry";

import type { Place } from "./host.js";
import { beginsRun, type Recording, type Run } from "./recording.js";
import { readSettings } from "./settings.js";
import { Stage } from "./stage.js";

const ID = "kulti";
/**
 * OpenClaw registers a plugin more than once in a process, from copies of its module: hooks then come to one
 * registration, and what runs say to another. They find the same stage here.
 */
const SHARED = Symbol.for("kulti.openclaw.stage");
const shared = globalThis as { [SHARED]?: Stage };
/** What OpenClaw calls the process that goes on from run to run. */
const GATEWAY = "openclaw-gateway";
const STREAMS = ["lifecycle", "assistant", "thinking", "tool", "plan", "compaction"];
/** Reasons after which the conversation goes on under another id, or which are no more than an end. */
const PLAIN_ENDS = new Set(["new", "reset", "idle", "daily", "unknown"]);

export default definePluginEntry({
  id: ID,
  name: "Kulti",
  description: "Streams sessions to Kulti as they happen: runs, messages, tool calls, errors, tokens",
  register(api) {
    const warn = (problem: string) => api.logger.warn(`kulti: ${problem}`);
    const isRuntime = api.registrationMode === "full";
    if (isRuntime || !shared[SHARED]) shared[SHARED] = new Stage(readSettings(api.pluginConfig), warn);
    const isAllowed = api.config.plugins?.entries?.[ID]?.hooks?.allowConversationAccess === true;
    if (isRuntime && !isAllowed) {
      warn(`messages and tokens are left out until plugins.entries.${ID}.hooks.allowConversationAccess is true`);
    }

    const told = new Set<string>();
    /** Whatever goes wrong here is no concern of OpenClaw's. It is logged once. */
    const safely = (work: (stage: Stage) => void): void => {
      try {
        if (shared[SHARED]) work(shared[SHARED]);
      } catch (error) {
        const problem = String(error);
        if (told.has(problem) || told.size >= 100) return;
        told.add(problem);
        warn(problem);
      }
    };
    /** A hook of a run: whose it is, and the run. */
    const hear = (place: Place, runId: string | undefined, tell: (recording: Recording, run: Run) => void): void =>
      safely((stage) => {
        const id = runId ?? place.sessionId;
        const voice = stage.at({ ...place, runId: id }, true);
        if (voice && id !== undefined) tell(voice.recording, voice.recording.run(id, voice.speaker));
      });

    api.agent.events.registerAgentEventSubscription({
      id: ID,
      streams: STREAMS,
      handle: (event) =>
        safely((stage) => {
          const voice = stage.at(event, beginsRun(event));
          voice?.recording.told(event, voice.speaker, isAllowed);
        }),
    });
    api.on("llm_input", (event, context) =>
      hear(context, event.runId, (recording, run) => recording.asked(run, event, context)),
    );
    api.on("llm_output", (event, context) =>
      hear(context, event.runId, (recording, run) => recording.answered(run, event)),
    );
    api.on("after_tool_call", (event, context) =>
      hear(context, event.runId, (recording, run) => recording.finished(run, event)),
    );
    api.on("subagent_spawned", (event, context) =>
      safely((stage) => stage.adopt(event.childSessionKey, context.requesterSessionKey, event.label ?? event.agentId)),
    );
    api.on("subagent_ended", (event) => safely((stage) => stage.release(event.targetSessionKey)));
    api.on("session_end", (event) =>
      safely((stage) => {
        // A compacted conversation goes on.
        if (event.reason === "compaction") return;
        const isPlain = event.reason === undefined || PLAIN_ENDS.has(event.reason);
        stage.end(event, isPlain ? "completed" : (event.reason as string));
      }),
    );
    api.on("gateway_stop", () => shared[SHARED]?.close("shutdown"));
    const stage = shared[SHARED];
    api.lifecycle.registerRuntimeLifecycle({
      id: ID,
      description: "ends the sessions in Kulti",
      // A copy for a few runs is let go of: in a gateway others go on, elsewhere it was all.
      dispose: () => (process.title === GATEWAY ? undefined : stage?.close("completed")),
      // The plugin itself goes. With a session it is about that session's own state, of which there is none.
      cleanup: ({ sessionKey, runId }) =>
        isRuntime && sessionKey === undefined && runId === undefined ? stage?.close("completed") : undefined,
    });
  },
});

/**
 * Kulti: stream an AI agent's work as it happens, and read any moment of it back.
 *
 *     import { Kulti } from "kulti";
 *
 *     const stream = new Kulti("nex", { task: "Build a page" });
 *     stream.think("Where to begin?");
 */

import { Kulti } from "./stream.js";

export { BufferFull, Gap, KultiError, Refused, Unreachable } from "./errors.js";
export type * from "./events.js";
export type { Message, ToolCall } from "./parts.js";
export { Reader, type At, type SessionInfo, type State, type WatchOptions } from "./reader.js";
export type { Counts } from "./recorder.js";
export { Kulti, type Options } from "./stream.js";

/** The stream of this process, for those who need but one: nothing is streamed before `stream.init(agent)`. */
export const stream = new Kulti();

export default Kulti;

/** OpenClaw's own tools: what their calls and results mean besides being calls and results. */

import type { Kulti } from "kulti";

import { isObject, text } from "./host.js";
import { changesOf } from "./patch.js";

/** A call that was told. */
export interface Call {
  id: string;
  tool: string;
  input: Record<string, unknown>;
}

/** What came of a call. */
export interface Result {
  /** Its text. */
  text: string;
  /** What only OpenClaw sees of it. */
  details: Record<string, unknown>;
  isError: boolean;
}

const SHELLS = new Set(["exec", "bash"]);
const EDITORS = new Set(["write", "edit", "apply_patch"]);
/** Members of details that events tell, or that say nothing about the work. */
const SHELL_DETAILS = new Set([
  "status", "exitCode", "exitReason", "durationMs", "aggregated", "noOutputTimedOut", "cwd", "tail", "pid", "startedAt",
]);
const FILE_DETAILS = new Set(["changed", "created", "diff", "patch", "firstChangedLine", "summary"]);
/** What OpenClaw writes behind an output. */
const EXIT_NOTE = /\s*\(Command exited with code -?\d+\)\s*$/;

/** A result as the hook has it, or a run's event. */
export function resultOf(result: unknown, error?: string): Result {
  const content = isObject(result) ? result["content"] : result;
  const details = isObject(result) && isObject(result["details"]) ? result["details"] : {};
  const parts = Array.isArray(content) ? content.map((part) => text(part, "text")) : [content];
  const told = parts.filter((part) => typeof part === "string").join("\n");
  const exitCode = details["exitCode"];
  const isError = error !== undefined || (typeof exitCode === "number" && exitCode !== 0);
  return { text: told || (error ?? ""), details, isError };
}

/** Says what the call means by itself. */
export function tellCall(stream: Kulti, { id, tool, input }: Call, folder: string | undefined): void {
  const command = text(input, "command");
  if (SHELLS.has(tool) && command) stream.command(command, { cwd: text(input, "workdir") ?? folder, call: id });
}

/** Says what the result means besides being one. */
export function tellResult(stream: Kulti, call: Call, result: Result): void {
  if (SHELLS.has(call.tool)) tellOutput(stream, call, result);
  else if (EDITORS.has(call.tool) && !result.isError && result.details["changed"] !== false) tellChange(stream, call, result);
}

/** What of a result's details no other event tells, nor the text itself. */
export function untold({ tool }: Call, { text: told, details }: Result): Record<string, unknown> | undefined {
  if (told === JSON.stringify(details, null, 2)) return undefined;
  const known = SHELLS.has(tool) ? SHELL_DETAILS : EDITORS.has(tool) ? FILE_DETAILS : new Set<string>();
  const rest = Object.entries(details).filter(([name, value]) => !known.has(name) && value !== null);
  return rest.length > 0 ? Object.fromEntries(rest) : undefined;
}

function tellOutput(stream: Kulti, call: Call, { text: told, details, isError }: Result): void {
  const output = told.replace(EXIT_NOTE, "");
  if (output) stream.output(output.endsWith("\n") ? output : `${output}\n`, { call: call.id });
  // What goes on in the background, or waits for an approval, has not ended.
  const goesOn = details["status"] === "running" || text(details, "status")?.startsWith("approval");
  const { exitCode } = details as { exitCode?: unknown };
  if (!goesOn) stream.exited(typeof exitCode === "number" ? exitCode : Number(isError), { call: call.id });
}

function tellChange(stream: Kulti, { id, tool, input }: Call, { details }: Result): void {
  if (tool === "apply_patch") {
    for (const { path, action, oldPath, body } of changesOf(text(input, "input") ?? "")) {
      const more = { call: id, ...(oldPath ? { oldPath } : {}) };
      if (action === "create") stream.code(path, body, action, more);
      else stream.code(path, undefined, action, body ? { ...more, patch: body } : more);
    }
    return;
  }
  const path = text(input, "path") ?? text(input, "file_path");
  if (!path) return;
  const patch = text(details, "patch");
  const more = { call: id, ...(patch ? { patch } : {}) };
  if (tool === "edit") {
    stream.code(path, undefined, "edit", more);
  } else {
    const { content } = input;
    const action = details["created"] === true ? "create" : details["created"] === false ? "edit" : "write";
    stream.code(path, typeof content === "string" ? content : "", action, more);
  }
}

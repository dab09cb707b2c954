/** OpenClaw's own types, by the names that its hooks have. */

import type { OpenClawPluginApi } from "openclaw/plugin-sdk/plugin-entry";

declare const api: OpenClawPluginApi;

type HookName = Parameters<typeof api.on>[0];
type Handler<K extends HookName> = Parameters<typeof api.on<K>>[1];

export type HookEvent<K extends HookName> = Parameters<Handler<K>>[0];
export type HookContext<K extends HookName> = Parameters<Handler<K>>[1];

type Subscription = Parameters<OpenClawPluginApi["agent"]["events"]["registerAgentEventSubscription"]>[0];

/** What a run says while it goes on. */
export type RunEvent = Parameters<Subscription["handle"]>[0];

/** Where something happened, as far as OpenClaw tells. */
export interface Place {
  runId?: string | undefined;
  sessionKey?: string | undefined;
  sessionId?: string | undefined;
  agentId?: string | undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member that is a text and not empty. */
export function text(of: unknown, name: string): string | undefined {
  const value = isObject(of) ? of[name] : undefined;
  return typeof value === "string" && value !== "" ? value : undefined;
}

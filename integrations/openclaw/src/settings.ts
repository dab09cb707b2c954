/** What stands under `plugins.entries.kulti.config`; openclaw.plugin.json describes and checks it. */

import type { Visibility } from "kulti";

export interface Settings {
  /** Else `KULTI_URL`, else this machine. */
  server?: string;
  /** Else `KULTI_API_KEY`. */
  apiKey?: string;
  agent: string;
  visibility?: Visibility;
  /** Texts that look like secrets and are none. */
  allow?: string[];
  idleMinutes: number;
}

export function readSettings(config: Record<string, unknown> = {}): Settings {
  return { agent: "openclaw", idleMinutes: 60, ...config };
}

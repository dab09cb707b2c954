/** Where the server is, and how long anything may take. */

export const DEFAULT_SERVER = "http://127.0.0.1:8080";

/** Parts that are sent together: events, and characters of JSON. */
export const BATCH_EVENTS = 500;
export const BATCH_CHARACTERS = 1024 * 1024;
/** How long the first event of a batch waits for others. */
export const BATCH_WAIT_MS = 50;
/** An event of more bytes is refused by the server. */
export const MAX_EVENT_BYTES = 1024 * 1024;
/** A longer text of a terminal is sent in parts. */
export const OUTPUT_PART_CHARACTERS = 64 * 1024;
/** The server answers within its own 10 s, or says that it could not. */
export const ANSWER_TIMEOUT_MS = 20_000;
export const RETRY_FIRST_MS = 200;
export const RETRY_MAX_MS = 15_000;
/** The longest that `Retry-After` is obeyed. */
export const RETRY_AFTER_MAX_MS = 120_000;
/** A request of so many characters is about one packet; less is not worth packing. */
export const GZIP_FROM_CHARACTERS = 1400;

/** A server's address and the key for it. */
export interface Server {
  url: string;
  apiKey: string | undefined;
  /** This machine: compression saves nothing. */
  isLocal: boolean;
}

/** As told, else as `KULTI_URL` and `KULTI_API_KEY` say, else on this machine. Throws TypeError for what is no URL. */
export function findServer(server?: string, apiKey?: string): Server {
  const text = (server || variable("KULTI_URL") || DEFAULT_SERVER).trim().replace(/\/+$/, "");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`server must be a URL like ${DEFAULT_SERVER}, not ${JSON.stringify(text)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`server must be a URL like ${DEFAULT_SERVER}, not ${JSON.stringify(text)}`);
  }
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  return { url: text, apiKey: apiKey || variable("KULTI_API_KEY") || undefined, isLocal };
}

/** Headers of every request. */
export function headersFor(server: Server, more: Record<string, string> = {}): Record<string, string> {
  return server.apiKey ? { ...more, Authorization: `Bearer ${server.apiKey}` } : more;
}

/** Grows twofold to a bound; the jitter keeps a thousand agents from coming back at once. */
export function backoffMs(attempt: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(attempt, 16)) * (0.5 + Math.random() / 2);
}

/** What `Retry-After` asks for, where it asks. */
export function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get("Retry-After") || NaN);
  return Number.isFinite(seconds) ? Math.min(Math.max(0, seconds * 1000), RETRY_AFTER_MAX_MS) : undefined;
}

function variable(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}

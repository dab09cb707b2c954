/** What can go wrong. An agent's stream throws these only where it is `strict`; readers always do. */

/** Something that Kulti, or the way to it, did not do. */
export class KultiError extends Error {
  override name = "KultiError";
}

/** No server answered, or not in time. What was buffered is still sent when it does. */
export class Unreachable extends KultiError {
  override name = "Unreachable";
}

/** More was said than the buffer holds while the server was away; the oldest of it is gone. */
export class BufferFull extends KultiError {
  override name = "BufferFull";
}

/** The server will not take a request or an event as it is. */
export class Refused extends KultiError {
  override name = "Refused";

  constructor(
    detail: string,
    /** The stable word of docs/errors.md. */
    readonly code = "",
    /** The HTTP status; 0 where it is about one event. */
    readonly status = 0,
    /** What it is about. */
    readonly field: string | undefined = undefined,
  ) {
    super(detail);
  }

  /** The error that an answer tells of (RFC 9457). */
  static async of(response: Response): Promise<Refused> {
    const text = await response.text().catch(() => "");
    try {
      const told = JSON.parse(text) as Record<string, unknown>;
      const field = typeof told["field"] === "string" ? told["field"] : undefined;
      return new Refused(String(told["detail"] ?? told["title"]), String(told["code"] ?? ""), response.status, field);
    } catch {
      return new Refused(`the server answered ${response.status}: ${text.slice(0, 200)}`, "", response.status);
    }
  }
}

/** A watched session does not have these positions (any more). Nothing is skipped silently. */
export class Gap extends KultiError {
  override name = "Gap";

  constructor(
    readonly start: number,
    readonly end: number,
    readonly reason: string,
  ) {
    super(`positions ${start} to ${end} are missing: ${reason}`);
  }
}

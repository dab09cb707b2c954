// Numbers and times as people read them.

/** 75_000 -> "1:15", 3_675_000 -> "1:01:15". */
export function clockText(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const pair = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${pair(minutes)}:${pair(seconds % 60)}` : `${minutes}:${pair(seconds % 60)}`;
}

/** How long ago, in the largest unit that fits. */
export function agoText(time, now = Date.now()) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return "";
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 45) return "just now";
  if (seconds < 90 * 60) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 45 * 86_400) return `${Math.round(seconds / 86_400)} days ago`;
  return new Date(at).toLocaleDateString();
}

/** "1 event", "1,234 events". */
export function countText(count, one, many = `${one}s`) {
  return `${Number(count).toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** 1_234 ms -> "1.2 s". */
export function durationText(milliseconds) {
  if (typeof milliseconds !== "number" || !Number.isFinite(milliseconds)) return "";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return clockText(milliseconds);
}

/** 12_345 -> "12.3k". */
export function shortNumber(count) {
  return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(count);
}

/**
 * The moment that `?at=` names: {position}, {event} or {time} in ms since the start; null for none or one that
 * this page cannot find.
 */
export function parseMoment(text) {
  if (!text || text === "live") return null;
  if (/^\d{1,15}$/.test(text)) return { position: Number(text) };
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return { event: text.toLowerCase() };
  const units = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text);
  if (units && (units[1] || units[2] || units[3])) {
    return { time: (Number(units[1] ?? 0) * 3600 + Number(units[2] ?? 0) * 60 + Number(units[3] ?? 0)) * 1000 };
  }
  const colons = /^(?:(\d+):)?(\d+):(\d{2})$/.exec(text);
  if (colons) return { time: (Number(colons[1] ?? 0) * 3600 + Number(colons[2]) * 60 + Number(colons[3])) * 1000 };
  const moment = Date.parse(text);
  return Number.isNaN(moment) ? null : { moment };
}

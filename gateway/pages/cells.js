// The cells of a terminal's line: how wide a character is, and how a line at rest is kept.

const ZERO_WIDTH = /^[\p{M}\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f]$/u;
const WIDE = /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]$/u;

/** 0 for what joins the cell before it, 2 for wide characters, else 1. */
export function widthOf(char) {
  if (char < "\u0300") return 1;
  if (ZERO_WIDTH.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** Keeps a line that rests as one text and runs of a style: a tenth of the memory. */
export function pack(line) {
  if (line.text !== undefined) return;
  const text = line.chars.join("");
  // Cells of several characters, and the second cell of a wide one, could not be told apart again.
  if (text.length !== line.chars.length || line.chars.includes("")) return;
  line.runs = [];
  line.styles.forEach((style, col) => {
    if (line.runs.at(-1)?.style !== style) line.runs.push({ style, col });
  });
  line.text = text;
  line.chars = line.styles = null;
}

/** A line's cells, in arrays of their own. */
export function cellsOf(line) {
  if (line.text === undefined) return { chars: line.chars.slice(), styles: line.styles.slice() };
  const styles = new Array(line.text.length);
  line.runs.forEach(({ style, col }, index) => styles.fill(style, col, line.runs[index + 1]?.col));
  return { chars: line.text.split(""), styles };
}

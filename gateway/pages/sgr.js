// Colours and emphasis of terminal text (SGR). A style is never changed, only replaced.

/** No colour, no emphasis. */
export const PLAIN = Object.freeze({ fg: null, bg: null, flags: 0 });
const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, REVERSE = 16, HIDDEN = 32, STRIKE = 64;
/** The bits of a style's `flags`. */
export const FLAGS = Object.freeze({ BOLD, DIM, ITALIC, UNDERLINE, REVERSE, HIDDEN, STRIKE });
const SET = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: REVERSE, 8: HIDDEN, 9: STRIKE };
const UNSET = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: REVERSE, 28: HIDDEN, 29: STRIKE };

/** The style after a select-graphic-rendition sequence. */
export function restyle(style, text) {
  const next = { ...style };
  const codes = text.split(";").flatMap(codesOf);
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index];
    if (code === 0) Object.assign(next, PLAIN);
    else if (SET[code]) next.flags |= SET[code];
    else if (UNSET[code]) next.flags &= ~UNSET[code];
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 39) next.fg = null;
    else if (code === 49) next.bg = null;
    else if (code === 38 || code === 48 || code === 58) {
      const [colour, used] = extendedColour(codes, index + 1);
      if (colour !== undefined && code !== 58) next[code === 38 ? "fg" : "bg"] = colour;
      index += used;
    }
  }
  return next;
}

/** A part as plain codes: `38:2::1:2:3` and `4:3` are the colon forms of what semicolons say elsewhere. */
function codesOf(part) {
  const numbers = part.split(":").map((number) => Number.parseInt(number, 10) || 0);
  if (numbers.length === 1) return numbers;
  if (numbers[0] === 4) return [numbers[1] ? 4 : 24];
  if (numbers[1] === 2) return [numbers[0], 2, ...numbers.slice(-3)];
  return numbers.slice(0, 3);
}

/** A colour is 0-15 (the palette) or a CSS colour. */
function extendedColour(codes, at) {
  const byte = (value) => Math.max(0, Math.min(255, value || 0));
  if (codes[at] === 2) return [`rgb(${byte(codes[at + 1])},${byte(codes[at + 2])},${byte(codes[at + 3])})`, 4];
  if (codes[at] !== 5) return [undefined, 1];
  const number = byte(codes[at + 1]);
  if (number < 16) return [number, 2];
  if (number >= 232) {
    const grey = 8 + (number - 232) * 10;
    return [`rgb(${grey},${grey},${grey})`, 2];
  }
  const level = (value) => (value ? 55 + value * 40 : 0);
  const cube = number - 16;
  return [`rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`, 2];
}

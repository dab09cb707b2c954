/** Draws a terminal's screen: rows of runs of one style, as the fold gives them. */

const NAMED = [
  "#5c6773", "#f2777a", "#7fc77f", "#e0b65c", "#6ca8ff", "#d192e8", "#56c7cf", "#c9d1d9",
  "#7d8895", "#ff8f8f", "#8fe08f", "#f7d27a", "#93c1ff", "#e5b3f5", "#7fe0e6", "#ffffff",
];
const STEPS = [0, 95, 135, 175, 215, 255];
const FORE = "#d6dde6";
const GROUND = "#0b0e13";
const CELL_WIDTH = 0.605;

/** A colour of the fold, an index or `#rrggbb`, for CSS. */
function colour(paint) {
  if (typeof paint === "string") return paint;
  if (paint < 16) return NAMED[paint];
  if (paint < 232) {
    const place = paint - 16;
    return `rgb(${STEPS[Math.floor(place / 36)]} ${STEPS[Math.floor(place / 6) % 6]} ${STEPS[place % 6]})`;
  }
  const grey = 8 + 10 * (paint - 232);
  return `rgb(${grey} ${grey} ${grey})`;
}

function runNode(run) {
  const node = document.createElement("span");
  node.textContent = run.text;
  let fore = run.fg === undefined ? undefined : colour(run.fg);
  let ground = run.bg === undefined ? undefined : colour(run.bg);
  if (run.inverse) [fore, ground] = [ground ?? GROUND, fore ?? FORE];
  if (fore) node.style.color = fore;
  if (ground) node.style.background = ground;
  if (run.bold) node.style.fontWeight = "bold";
  if (run.faint) node.style.opacity = "0.65";
  if (run.italic) node.style.fontStyle = "italic";
  const lines = [run.underline && "underline", run.strikethrough && "line-through"].filter(Boolean);
  if (lines.length) node.style.textDecoration = lines.join(" ");
  return node;
}

export class ScreenView {
  constructor(node) {
    this.node = node;
    this.rows = [];
    this.cursor = document.createElement("i");
    this.cursor.className = "cursor";
    new ResizeObserver(() => this.fit()).observe(node.parentElement);
  }

  /** Shows it; null where no terminal has been used. */
  show(screen) {
    const [cols, rows] = screen ? [screen.cols, screen.rows] : [80, 24];
    if (cols !== this.cols || rows !== this.rows.length) {
      this.cols = cols;
      this.rows = Array.from({ length: rows }, () => ({ node: document.createElement("div"), drawn: "" }));
      this.node.replaceChildren(...this.rows.map((row) => row.node), this.cursor);
      this.fit();
    }
    for (const [index, row] of this.rows.entries()) {
      const runs = screen?.lines[index] ?? [];
      const drawn = JSON.stringify(runs);
      if (drawn === row.drawn) continue;
      row.drawn = drawn;
      row.node.replaceChildren(...runs.map(runNode));
    }
    const cursor = screen?.cursor;
    this.cursor.hidden = !cursor;
    if (cursor) {
      this.cursor.style.left = `${cursor.col}ch`;
      this.cursor.style.top = `calc(${cursor.row} * var(--row))`;
    }
  }

  /** As large as all of it can be seen. */
  fit() {
    const { clientWidth, clientHeight } = this.node.parentElement;
    if (!this.cols || !clientWidth) return;
    const byWidth = (clientWidth - 16) / (this.cols * CELL_WIDTH);
    const byHeight = clientHeight > 80 ? (clientHeight - 16) / (this.rows.length * 1.25) : byWidth;
    const size = Math.max(5, Math.min(byWidth, byHeight, 18));
    this.node.style.fontSize = `${size.toFixed(2)}px`;
  }
}

// Building and updating elements. Text of events goes in through textContent alone, never as markup.

/** Makes an element: `properties` are DOM properties, `data-` and `aria-` names and `role` are attributes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id; the pages are ours, so it is there. */
export const byId = (id) => document.getElementById(id);

/** Sets the text only where it differs: an unchanged node costs no layout and no announcement. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows or hides. */
export function setShown(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

// Invisible characters that reorder or hide what is around them have no place in names and titles.
const TRICKY = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** One clean line for names, titles and labels. */
export function oneLine(value, limit = 200) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  const line = text.slice(0, limit * 4).replace(/\s+/g, " ").replace(TRICKY, "").trim();
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

/** Text over several lines, bounded. */
export function plainText(value, limit = 20_000) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
  return text.length > limit ? `${text.slice(0, limit)}\n… (${text.length - limit} more characters)` : text;
}

/** The address if it is http or https, else null: no javascript:, data: or other scheme becomes a link. */
export function safeAddress(value) {
  if (typeof value !== "string" || value.length > 2000) return null;
  try {
    const address = new URL(value);
    return address.protocol === "http:" || address.protocol === "https:" ? address.href : null;
  } catch {
    return null;
  }
}

/** A link that leaves the page, or plain text if the address is not one that may be followed. */
export function outsideLink(value, label) {
  const address = safeAddress(value);
  const text = oneLine(label ?? value, 120);
  if (!address) return el("span", { textContent: text });
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", textContent: text });
}

/**
 * Brings a list's children in line with `items`: rows are kept by key, built by `build(item)` and brought up to date by
 * `update(node, item)` when the item is another object than before.
 */
export class KeyedList {
  constructor(container, { key, build, update }) {
    this.container = container;
    this.key = key;
    this.build = build;
    this.update = update;
    this.rows = new Map();
  }

  show(items) {
    const wanted = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.node.remove();
      this.rows.delete(key);
    }
    let place = this.container.firstChild;
    for (const item of items) {
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) {
        row = { node: this.build(item), item };
        this.update(row.node, item);
        this.rows.set(key, row);
      } else if (row.item !== item) {
        row.item = item;
        this.update(row.node, item);
      }
      if (row.node === place) place = place.nextSibling;
      else this.container.insertBefore(row.node, place);
    }
  }
}

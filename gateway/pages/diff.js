// What a file became and what changed in it: unified diffs applied and shown, and line differences worked out here
// when an agent sent whole contents. All of it bounded: a file may be anything.

const LONGEST_CONTENT = 400_000;
const MOST_DIFF_LINES = 400;

/** The file after one code.changed. `before` is what this page knew of it. */
export function changedFile(before, data, position) {
  const action = ["create", "edit", "delete", "rename"].includes(data.action) ? data.action : "edit";
  const file = {
    path: data.path,
    action,
    language: typeof data.language === "string" ? data.language.slice(0, 40) : before?.language ?? "",
    position,
    changes: (before?.changes ?? 0) + 1,
    content: before?.content ?? null,
    diff: null,
    added: 0,
    removed: 0,
  };
  if (typeof data.content === "string") {
    const old = action === "create" ? "" : before?.content ?? null;
    file.content = data.content.slice(0, LONGEST_CONTENT);
    file.diff = old === null ? null : lineDiff(old, file.content);
  }
  if (typeof data.patch === "string") {
    file.diff = patchLines(data.patch.slice(0, LONGEST_CONTENT));
    if (typeof data.content !== "string") file.content = applyPatch(before?.content, file.diff);
  }
  if (action === "delete") file.content = null;
  for (const line of file.diff ?? []) {
    if (line.sign === "+") file.added++;
    else if (line.sign === "-") file.removed++;
  }
  return file;
}

/** A unified diff as lines {sign: "+", "-", " " or "@", text}; file headers are left out. */
export function patchLines(patch) {
  const lines = [];
  let inside = false;
  for (const text of patch.replace(/\n$/, "").split("\n")) {
    if (text.startsWith("@@")) {
      inside = true;
      lines.push({ sign: "@", text });
    } else if (inside && (text[0] === "+" || text[0] === "-" || text[0] === " ")) {
      lines.push({ sign: text[0], text: text.slice(1) });
    } else if (inside && text === "") {
      lines.push({ sign: " ", text: "" });
    } else if (text.startsWith("diff ") || text.startsWith("--- ")) {
      inside = false;
    }
  }
  return lines;
}

/** The content with the patch applied, or null if it does not fit what is known. */
export function applyPatch(content, diff) {
  if (typeof content !== "string") return null;
  const old = content.split("\n");
  const result = [];
  let at = 0;
  for (const line of diff) {
    if (line.sign === "@") {
      const match = /^@@ -(\d+)(?:,(\d+))? /.exec(line.text);
      if (!match) return null;
      const start = match[2] === "0" ? Number(match[1]) : Number(match[1]) - 1;
      if (start < at || start > old.length) return null;
      while (at < start) result.push(old[at++]);
    } else if (line.sign === "+") {
      result.push(line.text);
    } else {
      if (old[at] !== line.text) return null;
      if (line.sign === " ") result.push(line.text);
      at++;
    }
  }
  return result.concat(old.slice(at)).join("\n");
}

/** The difference of two texts by longest common subsequence, with three lines around each change; null if too big. */
export function lineDiff(before, after) {
  const old = before === "" ? [] : before.replace(/\n$/, "").split("\n");
  const now = after === "" ? [] : after.replace(/\n$/, "").split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const middleOld = old.slice(head, old.length - tail);
  const middleNow = now.slice(head, now.length - tail);
  if (middleOld.length > MOST_DIFF_LINES || middleNow.length > MOST_DIFF_LINES) {
    if (middleOld.length > 0) return null;
  }
  const same = (text) => ({ sign: " ", text });
  const whole = [...old.slice(0, head).map(same), ...middle(middleOld, middleNow), ...old.slice(old.length - tail).map(same)];
  return withoutLongContext(whole);
}

function middle(old, now) {
  if (old.length === 0) return now.map((text) => ({ sign: "+", text }));
  if (now.length === 0) return old.map((text) => ({ sign: "-", text }));
  const width = now.length + 1;
  const longest = new Uint16Array((old.length + 1) * width);
  for (let row = old.length - 1; row >= 0; row--) {
    for (let col = now.length - 1; col >= 0; col--) {
      longest[row * width + col] = old[row] === now[col]
        ? longest[(row + 1) * width + col + 1] + 1
        : Math.max(longest[(row + 1) * width + col], longest[row * width + col + 1]);
    }
  }
  const lines = [];
  let row = 0, col = 0;
  while (row < old.length || col < now.length) {
    if (row < old.length && col < now.length && old[row] === now[col]) {
      lines.push({ sign: " ", text: old[row++] });
      col++;
    } else if (row < old.length && (col >= now.length || longest[(row + 1) * width + col] >= longest[row * width + col + 1])) {
      lines.push({ sign: "-", text: old[row++] });
    } else {
      lines.push({ sign: "+", text: now[col++] });
    }
  }
  return lines;
}

function withoutLongContext(lines) {
  const near = lines.map(() => false);
  lines.forEach((line, index) => {
    if (line.sign === " ") return;
    for (let around = Math.max(0, index - 3); around <= Math.min(lines.length - 1, index + 3); around++) near[around] = true;
  });
  const result = [];
  lines.forEach((line, index) => {
    if (near[index]) result.push(line);
    else if (result.length > 0 && result.at(-1).sign !== "@") result.push({ sign: "@", text: "⋯" });
    else if (result.length === 0) result.push({ sign: "@", text: "⋯" });
  });
  if (result.at(-1)?.sign === "@") result.pop();
  return result;
}

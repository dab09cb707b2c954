/** The patches of `apply_patch` (`*** Begin Patch`) as changes of files. */

export interface FileChange {
  path: string;
  action: "create" | "edit" | "delete" | "rename";
  oldPath?: string;
  /** The file's content if it is new, else its part of the patch. */
  body: string;
}

const HEADINGS: [string, FileChange["action"]][] = [
  ["*** Add File: ", "create"],
  ["*** Update File: ", "edit"],
  ["*** Delete File: ", "delete"],
];
const MOVE = "*** Move to: ";

export function changesOf(patch: string): FileChange[] {
  const begin = patch.indexOf("*** Begin Patch");
  if (begin < 0) return [];
  const changes: FileChange[] = [];
  for (const line of patch.slice(begin).split(/\r?\n/).slice(1)) {
    if (line.startsWith("*** End Patch")) break;
    const heading = HEADINGS.find(([name]) => line.startsWith(name));
    const change = changes.at(-1);
    if (heading) {
      changes.push({ path: line.slice(heading[0].length).trim(), action: heading[1], body: "" });
    } else if (change && line.startsWith(MOVE)) {
      change.oldPath = change.path;
      change.path = line.slice(MOVE.length).trim();
      change.action = "rename";
    } else if (change && line !== "*** End of File") {
      change.body += `${change.action === "create" ? line.replace(/^\+/, "") : line}\n`;
    }
  }
  return changes;
}

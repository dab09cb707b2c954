// Counts the lines of a folder's files and writes a report, while people watch.
//
// npm install ./sdk/typescript && node examples/agent.ts [FOLDER]     (Node 22.18 and newer run TypeScript as it is)
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { once } from "node:events";
import { basename, join, resolve } from "node:path";

import { Kulti } from "kulti";

const folder = resolve(process.argv[2] ?? ".");

await Kulti.run("counter-ts", { task: `Count the lines in ${basename(folder)}`, visibility: "public" }, async (stream) => {
  console.log(stream.sessionUrl);
  stream.think("First see what is there.", "reasoning");
  stream.command("ls -l", { cwd: folder });
  const child = spawn("ls", ["-l"], { cwd: folder });
  child.stdout.on("data", (chunk: Uint8Array) => stream.output(chunk));
  const [code] = await once(child, "close");
  stream.exited(code);

  const files = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  const lines: [string, number][] = [];
  for (const { name } of files) {
    const call = stream.tool("count", { file: name });
    const count = (await readFile(join(folder, name), "utf8")).split("\n").length - 1;
    call.finish(count);
    lines.push([name, count]);
    stream.progress({ title: "counting", done: lines.length, total: files.length });
  }

  stream.marker("all counted");
  stream.code("report.md", lines.map(([name, count]) => `- ${name}: ${count}\n`).join(""));
  stream.message(`${files.length} files have ${lines.reduce((sum, [, count]) => sum + count, 0)} lines.`);
});

// `npm install ./sdk/typescript` links this folder without installing what builds it: so it does that by itself.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const compiler = fileURLToPath(new URL("node_modules/typescript/bin/tsc", import.meta.url));
const run = (command, ...args) => execFileSync(command, args, { cwd: here, stdio: "inherit" });
const npm = process.env.npm_execpath;

if (!existsSync(compiler)) {
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev"];
  if (npm) run(process.execPath, npm, ...args);
  else run("npm", ...args);
}
run(process.execPath, compiler, "-p", ".");

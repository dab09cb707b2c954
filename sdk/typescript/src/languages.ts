/** The language of a file, by how its name ends. */

const BY_ENDING: Record<string, string> = {
  bash: "bash", c: "c", cc: "cpp", cpp: "cpp", cs: "csharp", css: "css", go: "go", gql: "graphql", graphql: "graphql",
  h: "c", hpp: "cpp", html: "html", java: "java", js: "javascript", json: "json", jsx: "javascript", kt: "kotlin",
  lua: "lua", md: "markdown", mjs: "javascript", php: "php", py: "python", pyi: "python", rb: "ruby", rs: "rust",
  scala: "scala", sh: "bash", sql: "sql", svg: "xml", swift: "swift", toml: "toml", ts: "typescript",
  tsx: "typescript", vue: "vue", xml: "xml", yaml: "yaml", yml: "yaml", zig: "zig", zsh: "bash",
};

/** Undefined where the name does not tell. */
export function languageOf(path: string): string | undefined {
  const name = path.split(/[\\/]/).pop() ?? "";
  if (name === "Dockerfile" || name === "Makefile") return name.toLowerCase();
  return name.includes(".") ? BY_ENDING[name.split(".").pop()!.toLowerCase()] : undefined;
}

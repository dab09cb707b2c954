"""The language of a file, by how its name ends."""

from __future__ import annotations

_BY_ENDING = {
    "bash": "bash", "c": "c", "cc": "cpp", "cpp": "cpp", "cs": "csharp", "css": "css", "go": "go", "gql": "graphql",
    "graphql": "graphql", "h": "c", "hpp": "cpp", "html": "html", "java": "java", "js": "javascript",
    "json": "json", "jsx": "javascript", "kt": "kotlin", "lua": "lua", "md": "markdown", "mjs": "javascript",
    "php": "php", "py": "python", "pyi": "python", "rb": "ruby", "rs": "rust", "scala": "scala", "sh": "bash",
    "sql": "sql", "svg": "xml", "swift": "swift", "toml": "toml", "ts": "typescript", "tsx": "typescript",
    "vue": "vue", "xml": "xml", "yaml": "yaml", "yml": "yaml", "zig": "zig", "zsh": "bash",
}  # fmt: skip


def language_of(path: str) -> str | None:
    """None where the name does not tell."""
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    if name in ("Dockerfile", "Makefile"):
        return name.lower()
    return _BY_ENDING.get(name.rsplit(".", 1)[-1].lower()) if "." in name else None

#!/usr/bin/env python3
"""Writes what the SDKs have from elsewhere: the types of events from the Avro schemas, and the rules of masking.

    sdk/generate.py           # writes them
    sdk/generate.py --check   # fails if they are not what the schemas say
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SDK = Path(__file__).resolve().parent
SCHEMAS = SDK.parent / "schemas" / "avro"
RULES = SDK.parent / "masking" / "rules.json"
#: Said by viewers, moderators and Kulti itself: ingest refuses them from producers (docs/events.md).
NOT_FOR_PRODUCERS = {
    "chat", "chat.delivered", "chat.read", "clip", "reaction", "moderation", "approval.resolved", "redaction",
    "session.erased",
}  # fmt: skip
NOTICE = "Generated from schemas/avro by sdk/generate.py: change those, then run it."


@dataclass(frozen=True)
class Field:
    """One member of an event's ``data``."""

    name: str
    needed: bool
    doc: str
    type: Any
    values: list[str] | None


@dataclass(frozen=True)
class Kind:
    """One kind of event, by its newest schema."""

    name: str
    record: str
    doc: str
    fields: list[Field]


def read_kinds() -> list[Kind]:
    kinds = []
    for folder in sorted(SCHEMAS.iterdir()):
        newest = max(folder.glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
        schema = json.loads(newest.read_text(encoding="utf-8"))
        fields = [read_field(field) for field in schema["fields"] if field["name"] not in ("meta", "extra", "raw")]
        kinds.append(Kind(folder.name, schema["name"], schema["doc"], fields))
    return kinds


def read_field(field: dict[str, Any]) -> Field:
    avro = field["type"]
    optional = isinstance(avro, list)
    if optional:
        avro = next(branch for branch in avro if branch != "null")
    name = field["name"]
    kind: Any = avro
    if field.get("kulti.json"):
        name = name.removesuffix("_json")
        kind = {"shape": field["kulti.shape"]} if "kulti.shape" in field else "json"
    return Field(name, not optional, field["doc"], kind, field.get("kulti.values"))


def closed_sets(kinds: list[Kind]) -> dict[str, list[str]]:
    """Names of the types that are one of a few words: the same words are the same type."""
    sets: dict[str, list[str]] = {}
    for kind in kinds:
        for field in kind.fields:
            if field.values:
                sets.setdefault(set_name(kind, field), field.values)
    return sets


def set_name(kind: Kind, field: Field) -> str:
    record = {"SessionStarted": "", "SessionUpdated": "", "TerminalOutput": "Output", "CodeChanged": "Code",
              "MessageDelta": "Message", "ToolFinished": "Tool"}.get(kind.record, kind.record)  # fmt: skip
    return record + field.name.title().replace("_", "")


# Python


def python(kinds: list[Kind]) -> str:
    out = [
        f'"""The events of a session and their data. {NOTICE}"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Any, Literal, TypedDict",
        "",
    ]
    for name, values in closed_sets(kinds).items():
        words = ", ".join(json.dumps(value) for value in values)
        out.append(wrapped(f"{name} = Literal[{words}]"))
    out.append("")
    for kind in kinds:
        out += ["", *python_data(kind)]
    out += [
        "",
        "",
        "#: The kinds that an agent may send.",
        "ProducerKind = Literal[",
        *[f'    "{kind.name}",' for kind in kinds if kind.name not in NOT_FOR_PRODUCERS],
        "]",
        "",
        "",
        *PYTHON_EVENT,
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)) + "\n"


def wrapped(line: str) -> str:
    if len(line) <= 120:
        return line
    head, _, body = line.partition("[")
    return f"{head}[\n    {body.removesuffix(']')}\n]"


def python_data(kind: Kind) -> list[str]:
    needed = [field for field in kind.fields if field.needed]
    optional = [field for field in kind.fields if not field.needed]
    name = f"{kind.record}Data"
    doc = f'    """``{kind.name}``: {kind.doc}"""'
    if any(field.name == "from" for field in kind.fields):
        members = ", ".join(f'"{field.name}": {python_type(kind, field)}' for field in needed)
        return [
            f'_{kind.record}Needs = TypedDict("_{kind.record}Needs", {{{members}}})',
            "",
            "",
            f"class {name}(_{kind.record}Needs, total=False):",
            doc,
            *python_members(kind, optional),
            "",
        ]
    if not optional or not needed:
        total = "" if needed else ", total=False"
        return [f"class {name}(TypedDict{total}):", doc, *python_members(kind, kind.fields), ""]
    return [
        f"class _{kind.record}Needs(TypedDict):",
        *python_members(kind, needed)[1:],
        "",
        "",
        f"class {name}(_{kind.record}Needs, total=False):",
        doc,
        *python_members(kind, optional),
        "",
    ]


def python_members(kind: Kind, fields: list[Field]) -> list[str]:
    lines = [""]
    for field in fields:
        lines += [f"    {field.name}: {python_type(kind, field)}", f'    """{field.doc}"""']
    return lines


def python_type(kind: Kind, field: Field) -> str:
    if field.values:
        return set_name(kind, field)
    if isinstance(field.type, dict) and field.type.get("type") == "array":
        return "list[str]"
    if isinstance(field.type, dict):
        return "list[dict[str, Any]]" if isinstance(field.type["shape"], list) else "dict[str, str]"
    return {"string": "str", "bytes": "str", "long": "int", "double": "float", "boolean": "bool", "json": "Any"}[field.type]


PYTHON_EVENT = [
    "class _EventNeeds(TypedDict):",
    "    id: str",
    '    """Its UUID."""',
    "    session: str",
    "    agent: str",
    "    kind: str",
    '    """One of the kinds above, or one that is newer than this package."""',
    "    data: dict[str, Any]",
    '    """What the kind holds; members that the kind does not name are kept."""',
    "",
    "",
    "class Event(_EventNeeds, total=False):",
    '    """An event as readers get it."""',
    "",
    "    position: int",
    '    """Its number in the session: 1, 2, 3, … without holes."""',
    "    time: str",
    '    """The producer\'s clock, RFC 3339."""',
    "    received: str",
    '    """The server\'s clock, RFC 3339."""',
    "    source: str",
    '    """agent, viewer or system."""',
    "    producer: str",
    "    generation: int",
    "    seq: int",
    "    cause: str",
    '    """The event that caused this one."""',
    "    raw: str",
]

# TypeScript


def typescript(kinds: list[Kind]) -> str:
    out = [f"/** The events of a session and their data. {NOTICE} */", ""]
    for name, values in closed_sets(kinds).items():
        out.append(f"export type {name} = {' | '.join(json.dumps(value) for value in values)};")
    for kind in kinds:
        out += ["", f"/** `{kind.name}`: {kind.doc} */", f"export interface {kind.record}Data {{"]
        for field in kind.fields:
            mark = "" if field.needed else "?"
            out += [f"  /** {field.doc} */", f"  {field.name}{mark}: {typescript_type(kind, field)};"]
        out += ["  /** Members that the kind does not name are kept. */", "  [member: string]: unknown;", "}"]
    out += ["", "/** Each kind's data. */", "export interface EventData {"]
    out += [f'  "{kind.name}": {kind.record}Data;' for kind in kinds]
    out += ["}", "", "export type Kind = keyof EventData;", "", "/** The kinds that an agent may send. */"]
    refused = " | ".join(json.dumps(kind.name) for kind in kinds if kind.name in NOT_FOR_PRODUCERS)
    out += [f"export type ProducerKind = Exclude<Kind, {refused}>;", "", *TYPESCRIPT_EVENT]
    return "\n".join(out) + "\n"


def typescript_type(kind: Kind, field: Field) -> str:
    if field.values:
        return set_name(kind, field)
    if isinstance(field.type, dict) and field.type.get("type") == "array":
        return "string[]"
    if isinstance(field.type, dict):
        shape = field.type["shape"]
        one = shape[0] if isinstance(shape, list) else shape
        members = "; ".join(f"{name}: {'unknown' if kind == 'any' else 'string'}" for name, kind in one.items())
        return f"{{ {members} }}" + ("[]" if isinstance(shape, list) else "")
    names = {"string": "string", "bytes": "string", "long": "number", "double": "number", "boolean": "boolean"}
    return names.get(field.type, "unknown")


TYPESCRIPT_EVENT = [
    "/** An event as readers get it. */",
    "export interface EventOf<K extends string, Data> {",
    "  /** Its number in the session: 1, 2, 3, … without holes. */",
    "  position: number;",
    "  /** Its UUID. */",
    "  id: string;",
    "  session: string;",
    "  agent: string;",
    "  kind: K;",
    "  data: Data;",
    "  /** The producer's clock, RFC 3339. */",
    "  time: string;",
    "  /** The server's clock, RFC 3339. */",
    "  received: string;",
    '  source: "agent" | "viewer" | "system";',
    "  producer?: string;",
    "  generation?: number;",
    "  seq?: number;",
    "  /** The event that caused this one. */",
    "  cause?: string;",
    "  raw?: string;",
    "}",
    "",
    "/** Any event of a kind that this package knows: `kind` tells which `data` it has. A newer server may send others. */",
    "export type KultiEvent = { [K in Kind]: EventOf<K, EventData[K]> }[Kind];",
]


# Masking


def rules() -> str:
    """The rules without what is there for people."""
    told = json.loads(RULES.read_text(encoding="utf-8"))
    told.pop("about", None)
    for rule in told["rules"]:
        rule.pop("source", None)
    head = {name: value for name, value in told.items() if name != "rules"}
    lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}," for name, value in head.items()]
    each = ",\n".join(f"    {json.dumps(rule, ensure_ascii=False)}" for rule in told["rules"])
    return "{\n" + "\n".join(lines) + f'\n  "rules": [\n{each}\n  ]\n}}'


def typescript_rules() -> str:
    notice = "Generated from masking/rules.json by sdk/generate.py: change that, then run it."
    return f"/** What secrets look like. {notice} */\nexport const RULES = {rules()};\n"


def main() -> int:
    kinds = read_kinds()
    wanted = {
        SDK / "python" / "src" / "kulti" / "_rules.json": rules() + "\n",
        SDK / "typescript" / "src" / "rules.ts": typescript_rules(),
        SDK / "python" / "src" / "kulti" / "events.py": python(kinds),
        SDK / "typescript" / "src" / "events.ts": typescript(kinds),
    }
    if sys.argv[1:] == ["--check"]:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        for path in stale:
            print(f"{path.relative_to(SDK.parent)} is not what the schemas and masking/rules.json say: run sdk/generate.py")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

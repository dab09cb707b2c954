"""Makes of any value one that JSON can hold, so that what an agent passes in never raises."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ._masking import Masker

_NAMING = frozenset({"name", "key"})
_MAX_DEPTH = 48  # the server takes 64 levels, and the event around this one has some


def clean(value: object, masker: Masker, name: str = "", depth: int = 0) -> Any:
    """The value with every text masked. What JSON does not know becomes the text that ``str`` makes of it.

    ``name`` is the member that it is the value of. Objects that hold themselves end at a depth that the server takes.
    """
    if isinstance(value, str):
        return masker.member(name, value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return _clean_members(value, masker, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(item, masker, name, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return masker.member(name, bytes(value).decode(errors="replace"))
    dumped = _dumped(value)
    return masker.member(name, _text(value)) if dumped is None else clean(dumped, masker, name, depth + 1)


def _clean_members(members: Mapping[Any, object], masker: Masker, depth: int) -> dict[str, Any]:
    # {"name": "API_KEY", "value": "…"}: the value is called what stands beside it.
    named = next((value for name, value in members.items() if str(name).lower() in _NAMING), None)
    out: dict[str, Any] = {}
    for key, value in members.items():
        name = str(key)
        called = named if isinstance(named, str) and name.lower() == "value" else name
        shown = masker.mask(name)
        while shown in out:
            shown += "#"  # two names that are secrets must not become one
        out[shown] = clean(value, masker, called, depth + 1)
    return out


def _dumped(value: object) -> Mapping[str, object] | Iterable[object] | None:
    """What models of pydantic and dataclasses hold."""
    try:
        dump = getattr(value, "model_dump", None)
        if callable(dump) and not isinstance(value, type):
            dumped = dump()
            return dumped if isinstance(dumped, Mapping | list) else None
        fields = getattr(value, "__dataclass_fields__", None)
        if fields and not isinstance(value, type):
            return {name: getattr(value, name) for name in fields}
    except Exception:  # the agent's own code failed, not the agent
        return None
    return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"

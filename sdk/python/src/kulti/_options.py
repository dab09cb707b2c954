"""The options of a stream, for type checkers: `Kulti(...)` takes what `Kulti.init` takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from . import events


class Options(TypedDict, total=False):
    """What `Kulti.init` takes besides the agent and the server; it says what each means."""

    task: str | None
    title: str | None
    name: str | None
    avatar: str | None
    tags: Iterable[str] | None
    visibility: events.Visibility | None
    session: str | None
    api_key: str | None
    producer: str | None
    strict: bool
    mask: bool
    allow: Iterable[str]
    heartbeat_s: float | None
    close_timeout_s: float
    end_at_exit: bool
    max_buffered_events: int
    max_buffered_bytes: int
    server_url: str | None

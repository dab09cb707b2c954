"""Reading sessions: lists, any moment of one, what happened, and what happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode

from ._settings import Server
from ._transport import Connection
from ._watch import Watch
from .events import Event

#: A moment: a position, a time since the start, a time of day, "90s", "12m30s", an event's id, or "live".
At = int | str | timedelta | datetime
Speed = float | Literal["max"]


class Reader:
    """A server to read from. Its methods raise Refused and Unreachable."""

    def __init__(self, server: str | None = None, *, api_key: str | None = None) -> None:
        """Else ``KULTI_URL`` and ``KULTI_API_KEY``, else http://127.0.0.1:8080."""
        self._server = Server.find(server, api_key)

    def sessions(
        self, *, agent: str | None = None, status: str | None = None, tag: str | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Sessions, live ones first; ``status`` is live, quiet or ended."""
        query = {"agent": agent, "status": status, "tag": tag}
        yield from self._pages("/v1/sessions", query, limit)

    def session(self, session: str, at: At = "live") -> dict[str, Any]:
        """What is known of one session."""
        return self._get(_path(session), {"at": at_text(at)})

    def events(
        self, session: str, *, after: At | None = None, before: At | None = None, kind: str | None = None
    ) -> Iterator[Event]:
        """The events that there are, page by page."""
        query = {"after": _optional(after), "before": _optional(before), "kind": kind}
        yield from self._pages(_path(session, "events"), query, None)

    def state(self, session: str, at: At = "live") -> dict[str, Any]:
        """The whole workspace as it was: screen, files, messages, thoughts, plan, tools, usage."""
        return self._get(_path(session, "state"), {"at": at_text(at)})

    def screen(self, session: str, at: At = "live", *, terminal: str | None = None) -> dict[str, Any]:
        """What the terminal showed."""
        return self._get(_path(session, "screen"), {"at": at_text(at), "terminal": terminal})

    def file(self, session: str, path: str, at: At = "live") -> dict[str, Any]:
        """What a file held."""
        return self._get(_path(session, f"files/{quote(path)}"), {"at": at_text(at)})

    def watch(
        self, session: str, *, start: At = "live", kinds: Sequence[str] | None = None, speed: Speed = "max"
    ) -> Iterator[Event]:
        """Each event once, in order, as it happens, until the session ends. Lost connections are taken up again.

        ``start`` is ``live``, ``start`` for all that was, or any moment: what comes after it. Raises Gap where
        positions are missing for good.
        """
        for frame in self._watch(session, start, kinds, speed, None).frames():
            yield from frame

    def replay(
        self,
        session: str,
        *,
        start: At = "start",
        kinds: Sequence[str] | None = None,
        speed: Speed = 1.0,
        idle_cap_s: float | None = 2.0,
    ) -> Iterator[Event]:
        """What happened, at its own pace or another, idle time cut; up to what there is now."""
        for frame in self._watch(session, start, kinds, speed, idle_cap_s).frames(until_caught_up=True):
            yield from frame

    def _watch(
        self, session: str, start: At, kinds: Sequence[str] | None, speed: Speed, idle_cap_s: float | None
    ) -> Watch:
        parameters = {"from": at_text(start), "speed": str(speed)}
        if idle_cap_s is not None and speed != "max":
            parameters["idle_cap_ms"] = str(round(idle_cap_s * 1000))
        return Watch(self._server, session, parameters, kinds)

    def _get(self, path: str, query: dict[str, str | None]) -> dict[str, Any]:
        told = urlencode({name: value for name, value in query.items() if value is not None})
        connection = Connection(self._server, answer_timeout_s=45.0)
        try:
            answer = connection.request("GET", f"{path}?{told}" if told else path)
        finally:
            connection.close()
        if answer.status != 200:
            raise answer.problem()
        return cast("dict[str, Any]", answer.json())

    def _pages(self, path: str, query: dict[str, str | None], limit: int | None) -> Iterator[Any]:
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = 1000 if left is None else min(left, 1000)
            page = self._get(path, {**query, "limit": str(size), "cursor": cursor})
            items = page["items"] if left is None else page["items"][:left]
            yield from items
            cursor = page.get("next")
            if cursor is None:
                return
            left = None if left is None else left - len(items)


class AsyncReader:
    """The same for asyncio."""

    def __init__(self, server: str | None = None, *, api_key: str | None = None) -> None:
        """As `Reader`."""
        self._reader = Reader(server, api_key=api_key)

    async def sessions(
        self, *, agent: str | None = None, status: str | None = None, tag: str | None = None, limit: int | None = 100
    ) -> list[dict[str, Any]]:
        """Sessions, live ones first."""
        found = self._reader.sessions(agent=agent, status=status, tag=tag, limit=limit)
        return await asyncio.to_thread(lambda: list(found))

    async def session(self, session: str, at: At = "live") -> dict[str, Any]:
        """What is known of one session."""
        return await asyncio.to_thread(self._reader.session, session, at)

    async def state(self, session: str, at: At = "live") -> dict[str, Any]:
        """The whole workspace as it was."""
        return await asyncio.to_thread(self._reader.state, session, at)

    async def screen(self, session: str, at: At = "live", *, terminal: str | None = None) -> dict[str, Any]:
        """What the terminal showed."""
        return await asyncio.to_thread(lambda: self._reader.screen(session, at, terminal=terminal))

    async def file(self, session: str, path: str, at: At = "live") -> dict[str, Any]:
        """What a file held."""
        return await asyncio.to_thread(self._reader.file, session, path, at)

    async def watch(
        self, session: str, *, start: At = "live", kinds: Sequence[str] | None = None, speed: Speed = "max"
    ) -> AsyncIterator[Event]:
        """As `Reader.watch`."""
        async for event in _from_thread(self._reader._watch(session, start, kinds, speed, None), False):
            yield event

    async def replay(
        self,
        session: str,
        *,
        start: At = "start",
        kinds: Sequence[str] | None = None,
        speed: Speed = 1.0,
        idle_cap_s: float | None = 2.0,
    ) -> AsyncIterator[Event]:
        """As `Reader.replay`."""
        async for event in _from_thread(self._reader._watch(session, start, kinds, speed, idle_cap_s), True):
            yield event


async def _from_thread(watch: Watch, until_caught_up: bool) -> AsyncIterator[Event]:
    """Reads in threads, a frame at a time; a task that is cancelled lets its connection go at once."""
    frames = watch.frames(until_caught_up)
    reading: asyncio.Future[list[Event] | None] | None = None
    try:
        while True:
            reading = asyncio.ensure_future(asyncio.to_thread(next, frames, None))
            frame = await asyncio.shield(reading)
            if frame is None:
                return
            for event in frame:
                yield event
    finally:
        watch.stop()
        if reading and not reading.done():
            # The thread is in the generator; it comes back at once, with whatever the cut connection gave it.
            await asyncio.wait([reading])
        if reading and not reading.cancelled():
            reading.exception()
        frames.close()


def at_text(at: At) -> str:
    """A moment as the server takes it."""
    if isinstance(at, timedelta):
        return f"{at.total_seconds():g}s"
    if isinstance(at, datetime):
        return at.astimezone().isoformat()
    return str(at)


def _optional(at: At | None) -> str | None:
    return None if at is None else at_text(at)


def _path(session: str, rest: str = "") -> str:
    base = f"/v1/sessions/{quote(session, safe='')}"
    return f"{base}/{rest}" if rest else base

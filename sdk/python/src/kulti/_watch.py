"""Watching a session: server-sent events, every event once and in order, across lost connections."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Generator, Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.parse import quote, urlencode

from ._errors import Gap, Refused, Unreachable
from ._settings import RETRY_FIRST_S, RETRY_MAX_S, Server
from ._transport import Answer, Connection
from .events import Event

#: The server says something at least every 15 s.
_SILENCE_S = 40.0
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Watch:
    """One session as it is sent. Not for several threads, but `stop`."""

    def __init__(self, server: Server, session: str, parameters: dict[str, str], kinds: Sequence[str] | None) -> None:
        self._connection = Connection(server, _SILENCE_S)
        self._path = f"/v1/sessions/{quote(session, safe='')}/stream"
        self._parameters = {**parameters, **({"kinds": ",".join(kinds)} if kinds else {})}
        self._is_filtered = bool(kinds)
        self._position: int | None = None
        self._stopped = threading.Event()
        self._attempt = 0

    def stop(self) -> None:
        """Ends it, from any thread."""
        self._stopped.set()
        self._connection.interrupt()

    def frames(self, until_caught_up: bool = False) -> Generator[list[Event], None, None]:
        """The events, as many at a time as came together; until the session ends, or is live, or for ever.

        Raises Gap and Refused. A server that is away is waited for.
        """
        try:
            while not self._stopped.is_set():
                try:
                    for frame in self._connected():
                        kind = frame.get("type")
                        if kind == "events":
                            yield self._checked(frame)
                        elif kind == "ended" or (kind == "caught_up" and until_caught_up):
                            return
                        else:
                            self._read(frame)
                    if self._is_over:
                        return
                except Unreachable:
                    pass
                self._wait()
        finally:
            self._connection.close()

    def _connected(self) -> Iterator[dict[str, Any]]:
        """Frames of one connection, until it breaks."""
        self._is_over = False
        headers = {"Accept": "text/event-stream"}
        if self._position is not None:
            headers["Last-Event-ID"] = str(self._position)
        query = urlencode(self._parameters)
        response = self._connection.stream(f"{self._path}?{query}" if query else self._path, headers)
        if response.status == 204:
            self._is_over = True
            return
        if response.status != 200:
            self._refused(response)
            return
        try:
            for data in event_data(response):
                yield json.loads(data)
                self._attempt = 0
        except (OSError, HTTPException, ValueError) as error:
            raise Unreachable(str(error)) from error
        finally:
            self._connection.close()

    def _refused(self, response: HTTPResponse) -> None:
        try:
            answer = Answer(response.status, response.headers, response.read(65536))
        except (OSError, HTTPException):
            answer = Answer(response.status, response.headers, b"")
        self._connection.close()
        if response.status not in _TRY_AGAIN:
            raise answer.problem()
        if (seconds := answer.retry_after_s) is not None:
            self._stopped.wait(seconds)

    def _checked(self, frame: dict[str, Any]) -> list[Event]:
        """The frame's events that are new. Positions, or with a filter the ranges they cover, are contiguous."""
        events = cast("list[Event]", frame.get("events") or [])
        first = frame.get("from", events[0]["position"] if events else None)
        last = frame.get("to", events[-1]["position"] if events else None)
        known = self._position
        if known is not None and first is not None and first > known + 1:
            raise Gap(known + 1, first - 1, "the server went past them")
        if not self._is_filtered and events and events[-1]["position"] - events[0]["position"] + 1 != len(events):
            raise Gap(events[0]["position"], events[-1]["position"], "the frame has holes")
        if last is not None:
            self._position = max(last, known or 0)
        return [event for event in events if known is None or event["position"] > known]

    def _read(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "gap":
            raise Gap(frame["from"], frame["to"], str(frame.get("reason")))
        if kind == "error" and "session" in frame and not frame.get("retryable"):
            raise Refused(str(frame.get("detail")), code=str(frame.get("code")))
        if kind in ("caught_up", "clock", "state") and self._position is None:
            # From `live` there may be nothing for long; after a lost connection it goes on from here.
            self._position = frame.get("position")

    def _wait(self) -> None:
        self._attempt += 1
        bound = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(self._attempt, 16))
        self._stopped.wait(bound * random.uniform(0.5, 1.0))


def event_data(response: HTTPResponse) -> Iterator[str]:
    """The `data` of each server-sent event (WHATWG HTML, 9.2.6)."""
    lines: list[str] = []
    while True:
        raw = response.readline()
        if not raw.endswith(b"\n"):
            return
        line = raw.decode().rstrip("\r\n")
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            yield "\n".join(lines)
            lines = []

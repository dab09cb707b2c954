"""What can go wrong. An agent's stream raises these only with ``strict=True``; readers always do."""

from __future__ import annotations


class KultiError(Exception):
    """Something that Kulti, or the way to it, did not do."""


class Unreachable(KultiError):
    """No server answered, or not in time. What was buffered is still sent when it does."""


class Refused(KultiError):
    """The server will not take a request or an event as it is.

    ``code`` is the stable word of docs/errors.md, ``status`` the HTTP status, ``field`` what it is about.
    """

    def __init__(self, detail: str, *, code: str = "", status: int = 0, field: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.field = field


class BufferFull(KultiError):
    """More was said than the buffer holds while the server was away; the oldest of it is gone."""


class Gap(KultiError):
    """A watched session does not have these positions (any more). Nothing is skipped silently."""

    def __init__(self, start: int, end: int, reason: str) -> None:
        super().__init__(f"positions {start} to {end} are missing: {reason}")
        self.start = start
        self.end = end
        self.reason = reason

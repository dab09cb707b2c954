"""Event ids: UUIDs of version 7 (RFC 9562) that grow within one process, also within one millisecond."""

from __future__ import annotations

import secrets
import time
import uuid


class IdMaker:
    """Makes ids, each greater than the one before: the server knows such an event as new without a look-up.

    Not safe for several threads at once; whoever calls holds a lock.
    """

    def __init__(self) -> None:
        self._last_ms = 0
        self._counter = 0

    def next(self) -> str:
        """The next id. A clock that goes back does not make it smaller."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, secrets.randbits(11)
        elif self._counter < 0xFFF:
            self._counter += 1
        else:
            self._last_ms, self._counter = self._last_ms + 1, 0
        bits = (self._last_ms << 80) | (7 << 76) | (self._counter << 64) | (2 << 62) | secrets.randbits(62)
        return str(uuid.UUID(int=bits))


def new_name(what: str) -> str:
    """A name for what belongs together within a session: a call, a message."""
    return f"{what}-{secrets.token_hex(8)}"

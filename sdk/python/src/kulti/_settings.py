"""Where the server is, and how long anything may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_SERVER = "http://127.0.0.1:8080"

#: Parts that are sent together: events, and bytes of JSON.
BATCH_EVENTS = 500
BATCH_BYTES = 1024 * 1024
#: How long the first event of a batch waits for others.
BATCH_WAIT_S = 0.05
#: An event of more bytes is refused by the server.
MAX_EVENT_BYTES = 1024 * 1024
#: A longer text of a terminal is sent in parts.
OUTPUT_PART_CHARACTERS = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
#: The server answers within its own 10 s, or says that it could not.
ANSWER_TIMEOUT_S = 20.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 15.0
#: The longest that `Retry-After` is obeyed.
RETRY_AFTER_MAX_S = 120.0


@dataclass(frozen=True)
class Server:
    """A server's address and the key for it."""

    url: str
    api_key: str | None

    @staticmethod
    def find(server: str | None, api_key: str | None) -> Server:
        """As told, else as ``KULTI_URL`` and ``KULTI_API_KEY`` say, else on this machine. Raises ValueError."""
        url = (server or os.environ.get("KULTI_URL") or DEFAULT_SERVER).strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"server must be a URL like {DEFAULT_SERVER}, not {url!r}")
        _ = parts.port  # raises where it is no number
        return Server(url, api_key or os.environ.get("KULTI_API_KEY") or None)

    @property
    def is_local(self) -> bool:
        """True if it is this machine: then there is no proxy between, and compression saves nothing."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

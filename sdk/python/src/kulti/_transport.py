"""HTTP with the standard library: one connection that is kept, time-outs, proxies, errors with a name."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

from ._errors import KultiError, Refused, Unreachable
from ._settings import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, RETRY_AFTER_MAX_S, Server
from ._version import VERSION

#: No answer of a route that is read whole is longer: states have 256 KB, a page of events 4 MiB.
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """What the server asks for, where it asks."""
        try:
            return min(max(0.0, float(self.headers.get("Retry-After", ""))), RETRY_AFTER_MAX_S)
        except ValueError:
            return None

    def json(self) -> Any:
        """The body. Raises KultiError if it is something else."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise KultiError(f"the server answered {self.status} with something that is not JSON") from error

    def problem(self) -> Refused:
        """The error that the body tells of (RFC 9457)."""
        try:
            told = json.loads(self.body)
            detail = told.get("detail") or told["title"]
            return Refused(str(detail), code=str(told.get("code", "")), status=self.status, field=told.get("field"))
        except (ValueError, KeyError, AttributeError):
            text = self.body[:200].decode(errors="replace").strip()
            return Refused(f"the server answered {self.status}: {text or 'nothing'}", status=self.status)


class Connection:
    """A connection to the server, opened when it is needed and again after it broke. For one thread at a time."""

    def __init__(self, server: Server, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._server = server
        self._timeout_s = answer_timeout_s
        self._parts = urlsplit(server.url)
        self._open: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request and its whole answer. Raises Unreachable, never anything of http.client's."""
        try:
            response = self._send(method, path, body, headers or {})
            content = response.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(f"{self._server.url}: {error or type(error).__name__}") from error
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(response.status, response.headers, content)

    def stream(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """A GET whose answer is read piece by piece. Raises Unreachable."""
        try:
            return self._send("GET", path, None, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(f"{self._server.url}: {error or type(error).__name__}") from error

    def close(self) -> None:
        """Closes it; the next request opens another."""
        connection, self._open = self._open, None
        if connection:
            connection.close()

    def interrupt(self) -> None:
        """From another thread: a read that waits ends now."""
        connection = self._open
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"kulti-python/{VERSION}", "Accept-Encoding": "identity", **headers}
        if self._server.api_key:
            headers["Authorization"] = f"Bearer {self._server.api_key}"
        fresh = self._open is None
        connection = self._open or self._connect()
        self._open = connection
        try:
            connection.request(method, self._target(path), body, headers)
            return connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            # A server may close a connection that was idle just as it is used: that is no failure of this request.
            self.close()
            if fresh:
                raise
        connection = self._open = self._connect()
        connection.request(method, self._target(path), body, headers)
        return connection.getresponse()

    def _target(self, path: str) -> str:
        whole = self._parts.path.rstrip("/") + path
        if self._proxy() and self._parts.scheme == "http":
            return f"http://{self._parts.netloc}{whole}"
        return whole

    def _proxy(self) -> str | None:
        if self._server.is_local:
            return None
        host = self._parts.hostname or ""
        if urllib.request.proxy_bypass(host):
            return None
        return urllib.request.getproxies().get(self._parts.scheme)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        is_tls = self._parts.scheme == "https"
        proxy = self._proxy()
        target = urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None
        connection: http.client.HTTPConnection
        if is_tls:
            context = ssl.create_default_context()
            first = (target.hostname or "", target.port) if target else (host, port)
            connection = http.client.HTTPSConnection(first[0], first[1], timeout=CONNECT_TIMEOUT_S, context=context)
            if target:
                connection.set_tunnel(host, port or 443, _proxy_authorization(target.username, target.password))
        elif target:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=CONNECT_TIMEOUT_S)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        return connection


def _proxy_authorization(user: str | None, password: str | None) -> dict[str, str]:
    if not user:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

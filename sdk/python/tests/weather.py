"""Servers in front of, or instead of, a real Kulti: that hang, refuse, or lose the answer."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: What a relay does with one request: pass it on (all of it, or the half), answer by itself, or lose the answer.
Behaviour = tuple[int, dict[str, str]] | str


class Relay(ThreadingHTTPServer):
    """Passes requests on to a real server, but for those that it was told something else about."""

    daemon_threads = True

    def __init__(self, target: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.behaviours: deque[Behaviour] = deque()
        self.requests = 0
        self.bodies: list[list[dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        relay = self.server
        relay.requests += 1
        relay.bodies.append([json.loads(line) for line in body.splitlines()])
        behaviour = relay.behaviours.popleft() if relay.behaviours else "pass"
        if isinstance(behaviour, tuple):
            self._answer(behaviour[0], behaviour[1], b'{"title":"later","code":"busy"}')
            return
        assert relay.target
        lines = body.splitlines(keepends=True)
        if behaviour == "only the first half":
            body = b"".join(lines[: len(lines) // 2])
        connection = http.client.HTTPConnection(urlsplit(relay.target).netloc, timeout=30)
        connection.request("POST", self.path, body, {"Content-Type": self.headers["Content-Type"]})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if behaviour == "only the first half":
            told = json.loads(content)
            told["results"] += [{"status": "retry", "code": "quota_exceeded"}] * (len(lines) - len(lines) // 2)
            content = json.dumps(told).encode()
        if behaviour == "lose the answer":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(answer.status, {}, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def relay(target: str | None) -> Iterator[Relay]:
    server = Relay(target)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def hanging_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"

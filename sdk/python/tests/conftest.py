"""A real Kulti for the tests. The suite of the workspace (cli/tests/e2e/sdks.rs) names the binary and its servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kulti import Event, Reader, Refused

_T = TypeVar("_T")
_LIMIT_S = 60.0


def wait_for(what: str, look: Callable[[], _T | None]) -> _T:
    """Waits until ``look`` gives something."""
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {_LIMIT_S:g} s: {what}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class KultiServer:
    """`kulti serve` as a process of its own, which can be killed and started again at the same address."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        self.reader = Reader(self.url)

    def start(self) -> None:
        binary = os.environ.get("KULTI_TEST_BINARY")
        assert binary, "KULTI_TEST_BINARY is not set: run `make test T=sdk`, or see CONTRIBUTING.md"
        environment = {**os.environ, "HOME": str(self._home), "KULTI_LOG": "error"}
        command = [binary, "serve", "--listen", f"127.0.0.1:{self._port}"]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        wait_for("kulti is ready", self._is_ready)

    def kill(self) -> None:
        assert self._process
        assert self._process.poll() is None, "kulti ended by itself"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def events(self, session: str, count: int) -> list[Event]:
        """The session's events, once there are as many. Their positions have no holes."""

        def look() -> list[Event] | None:
            events = self._known(session)
            return events if len(events) >= count else None

        events = wait_for(f"{count} events of {session}", look)
        assert [event["position"] for event in events] == list(range(1, len(events) + 1))
        return events

    def ended(self, session: str) -> list[Event]:
        """All its events, once it has ended."""

        def look() -> list[Event] | None:
            events = self._known(session)
            return events if events and events[-1]["kind"] == "session.ended" else None

        return wait_for(f"the end of {session}", look)

    def _known(self, session: str) -> list[Event]:
        """What replay has of it by now."""
        try:
            return list(self.reader.events(session))
        except Refused as refused:
            assert refused.code == "not_found", refused
            return []

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            assert self._process and self._process.poll() is None, "kulti did not start"
            return False


@pytest.fixture(scope="session")
def shared_kulti() -> Iterator[KultiServer]:
    with tempfile.TemporaryDirectory() as home:
        server = KultiServer(Path(home))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def kulti(shared_kulti: KultiServer, monkeypatch: pytest.MonkeyPatch) -> KultiServer:
    """A server that runs, and is the one that the environment names."""
    if shared_kulti._process is None:
        shared_kulti.start()
    monkeypatch.setenv("KULTI_URL", shared_kulti.url)
    return shared_kulti


def said(events: list[Event]) -> list[Any]:
    """The contents of the thoughts among them."""
    return [event["data"]["content"] for event in events if event["kind"] == "thought"]


def is_told_once_and_in_order(events: list[Event]) -> bool:
    """Whether one producer's numbers are 0, 1, 2, … and no id is there twice."""
    numbers = [event["seq"] for event in events]
    return numbers == list(range(len(events))) and len({event["id"] for event in events}) == len(events)

"""From calls to events in the buffer: ids, numbers, masking, bounds. Never waits for the network."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ._buffer import Buffer, Item, Loss
from ._clean import clean
from ._errors import BufferFull, KultiError, Refused, Unreachable
from ._ids import IdMaker
from ._masking import HOLD_S, Masker, StreamMasker
from ._sender import Sender
from ._settings import MAX_EVENT_BYTES, OUTPUT_PART_CHARACTERS, Server

log = logging.getLogger("kulti")


class _Held:
    """Text of a stream whose end is held back, so that a secret that comes in parts is seen whole."""

    def __init__(self, masker: Masker, kind: str, data: Mapping[str, Any]) -> None:
        self.stream = StreamMasker(masker)
        self.kind = kind
        self.data = data
        self.due: float | None = None
        self.parts = 0


class Recorder:
    """One session as one producer tells it."""

    def __init__(
        self,
        server: Server,
        agent: str,
        *,
        session: str | None,
        producer: str | None,
        masker: Masker,
        strict: bool,
        heartbeat_s: float | None,
        max_events: int,
        max_bytes: int,
    ) -> None:
        self._server = server
        self._agent = agent
        self._masker = masker
        self._strict = strict
        self._heartbeat_s = heartbeat_s
        self._bounds = (max_events, max_bytes)
        # Without a name of its own, a process is a producer that nobody else is. With one, a process that starts again
        # supersedes its forerunner by a higher generation.
        self._producer = producer or f"python-{secrets.token_hex(6)}"
        self._generation = time.time_ns() // 1_000_000
        self._ids = IdMaker()
        self.session = session or self._ids.next()
        self._problem: KultiError | None = None
        self._status: dict[str, Any] = {"status": "working"}
        self.is_ended = False
        self.is_forked = False
        self._is_closed = False
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._seq = 0
        self._held: dict[object, _Held] = {}
        self._quiet_since = time.monotonic()
        self._buffer = Buffer(*self._bounds, self._describe_loss)
        self._sender = Sender(self._server, self._buffer, self._changed, self._note, self._tick)
        self._is_started = False

    def after_fork(self) -> None:
        """In the child: what waits is sent by the parent; the child is another producer."""
        self._producer = f"{self._producer}-{os.getpid()}"
        self.is_forked = True
        self._begin()

    # What the agent's calls end in

    def emit(self, kind: str, data: Mapping[str, Any], cause: str | None = None) -> str:
        """Puts an event into the buffer. Its id."""
        cleaned = clean(data, self._masker)
        with self._changed:
            self._raise_problem()
            if kind == "status.changed":
                self._status = cleaned
            return self._append(kind, cleaned, cause)

    def stream(self, key: object, kind: str, data: Mapping[str, Any], text: str) -> None:
        """Text that comes in parts: each key is one stream, and ``data`` what its events hold beside the text."""
        with self._changed:
            self._raise_problem()
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Held(self._masker, kind, data)
            elif held.data != data:
                self._release(held)
                held.data = data
            self._append_text(held, held.stream.push(text))
            if not held.stream.is_holding:
                held.due = None
            elif held.due is None:
                held.due = time.monotonic() + HOLD_S
            self._changed.notify_all()

    def finish_stream(self, key: object) -> None:
        """The end of a stream: nothing of it is held back any more."""
        with self._changed:
            held = self._held.pop(key, None)
            if held:
                self._release(held)

    def finish_streams(self) -> None:
        """The same for all of them."""
        with self._changed:
            for held in self._held.values():
                self._release(held)
            self._held.clear()

    def flush(self, timeout_s: float) -> bool:
        """Waits until the server has everything. False if it took longer; raises where the stream is strict."""
        with self._changed:
            for held in self._held.values():
                self._release(held)
        delivered = self._sender.flush(timeout_s)
        if self._strict:
            with self._changed:
                self._raise_problem()
                if not delivered:
                    reason = self._sender.last_problem or "no answer yet"
                    raise Unreachable(
                        f"{self._sender.waiting} events are not delivered after {timeout_s:g} s: {reason}"
                    )
        return delivered

    def close(self, timeout_s: float) -> bool:
        """Flushes, then stops. False if events may not have arrived."""
        if self._is_closed:
            return True
        self.finish_streams()
        self._is_closed = True
        delivered = self._sender.flush(timeout_s)
        reason = self._sender.last_problem
        left = self._sender.give_up()
        if left:
            log.warning("%d events were not delivered to %s: %s", left, self._server.url, reason or "no time left")
        if self._strict:
            self._raise_problem()
            if not delivered:
                raise Unreachable(f"{left} events were not delivered: {reason or 'no time left'}")
        return delivered

    def abandon(self) -> None:
        """Stops at once, without a word."""
        self._is_closed = True
        self._sender.give_up()

    @property
    def counts(self) -> dict[str, int]:
        """What became of the events."""
        sender = self._sender
        return {
            "waiting": sender.waiting,
            "sent": sender.sent,
            "rejected": sender.rejected,
            "dropped": self._buffer.dropped,
            "retried": sender.retried,
        }

    # Below here with the lock held

    def _append(self, kind: str, data: Mapping[str, Any], cause: str | None = None) -> str:
        if self._is_closed:
            log.warning("%s came after the stream was closed, and is not sent", kind)
            return ""
        identity, seq = self._ids.next(), self._seq
        self._seq += 1
        line = self._line(identity, seq, kind, data, cause)
        if len(line) > MAX_EVENT_BYTES:
            detail = f"{kind} of {len(line):,} bytes was left out: an event has at most {MAX_EVENT_BYTES:,}"
            self._note(Refused(detail, code="event_too_large"))
            log.warning("%s", detail)
            kind, told = "error", {"message": detail, "code": "event_too_large"}
            line = self._line(identity, seq, kind, told, cause)
        if not self._buffer.append(Item(identity, seq, kind, line)):
            self._note(BufferFull("the buffer is full: the oldest events were let go of"))
        self._quiet_since = time.monotonic()
        if not self._is_started:
            self._is_started = True
            self._sender.start()
        self._changed.notify_all()
        return identity

    def _append_text(self, held: _Held, text: str) -> None:
        for begin in range(0, len(text), OUTPUT_PART_CHARACTERS):
            data = {**held.data, "text": text[begin : begin + OUTPUT_PART_CHARACTERS]}
            if held.kind == "message.delta":
                data["index"] = held.parts
            held.parts += 1
            self._append(held.kind, data)

    def _release(self, held: _Held) -> None:
        self._append_text(held, held.stream.flush())
        held.due = None

    def _line(self, identity: str, seq: int, kind: str, data: Mapping[str, Any], cause: str | None) -> bytes:
        event: dict[str, Any] = {
            "id": identity,
            "session": self.session,
            "agent": self._agent,
            "time": datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "kind": kind,
            "data": data,
            "producer": self._producer,
            "generation": self._generation,
            "seq": seq,
        }
        if cause:
            event["cause"] = cause
        # Half a surrogate pair is no text; the server would refuse the event for it.
        return (json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "replace")

    def _describe_loss(self, loss: Loss) -> bytes:
        told = {
            "message": f"{loss.events} events were said faster than they could be sent, and are lost",
            "code": "buffer_full",
            "events": loss.events,
            "bytes": loss.bytes,
            "first_seq": loss.first_seq,
            "last_seq": loss.last_seq,
        }
        return self._line(loss.id, loss.first_seq, "error", told, None)

    def _tick(self, now: float) -> float | None:
        """What is due by itself: text that was held back long enough, and a sign of life. When to look again."""
        due = [held.due for held in self._held.values() if held.due is not None]
        for held in self._held.values():
            if held.due is not None and held.due <= now:
                held.due = None
                self._append_text(held, held.stream.tick())
        if self._heartbeat_s is not None and not self.is_ended and not self._is_closed:
            if now - self._quiet_since >= self._heartbeat_s:
                self._append("status.changed", self._status)
            due.append(self._quiet_since + self._heartbeat_s)
        upcoming = [moment for moment in due if moment > now]
        return min(upcoming) if upcoming else None

    def _note(self, problem: KultiError) -> None:
        if self._strict:
            self._problem = problem

    def _raise_problem(self) -> None:
        problem, self._problem = self._problem, None
        if problem:
            raise problem


_all: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _after_fork() -> None:
    for recorder in list(_all):
        recorder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

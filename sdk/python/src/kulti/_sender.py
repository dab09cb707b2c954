"""Sends what is buffered, in a thread of its own: batches, one after the other, until the server has each event."""

from __future__ import annotations

import gzip
import logging
import random
import threading
import time
from collections.abc import Callable

from ._buffer import Buffer, Item
from ._errors import KultiError, Refused, Unreachable
from ._settings import BATCH_BYTES, BATCH_EVENTS, BATCH_WAIT_S, RETRY_FIRST_S, RETRY_MAX_S, Server
from ._transport import Answer, Connection

log = logging.getLogger("kulti")

#: Answers that the same request will always get. Any other may pass: also a key can be mended, or an address.
_SPOILED = frozenset({400, 413, 422})
#: A request of so many bytes is one packet; less is not worth packing.
_GZIP_FROM_BYTES = 1400


class Sender:
    """The only one who takes from the buffer. ``changed`` is the lock of everything that is shared."""

    def __init__(
        self,
        server: Server,
        buffer: Buffer,
        changed: threading.Condition,
        on_problem: Callable[[KultiError], None],
        on_tick: Callable[[float], float | None],
    ) -> None:
        """``on_tick(now)`` is called with the lock held, and says when (monotonic) to be called again."""
        self._server = server
        self._buffer = buffer
        self._changed = changed
        self._on_problem = on_problem
        self._on_tick = on_tick
        self._connection = Connection(server)
        self._in_flight: list[Item] = []
        self._limit = BATCH_EVENTS
        self._is_urgent = False
        self._gives_up = False
        self._thread: threading.Thread | None = None
        self._last_logged = ""
        self._last_problem: KultiError | None = None
        self.sent = 0
        self.rejected = 0
        self.retried = 0

    @property
    def waiting(self) -> int:
        """Events that the server does not have yet."""
        return len(self._buffer) + len(self._in_flight)

    @property
    def last_problem(self) -> KultiError | None:
        """Why the newest attempt failed, while nothing goes through."""
        return self._last_problem

    def start(self) -> None:
        """Begins to send. With the lock held."""
        self._thread = threading.Thread(target=self._run, name="kulti-sender", daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Waits until the server has everything that was said until now. False if it took longer."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            while self.waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not (self._thread and self._thread.is_alive()):
                    return False
                self._changed.wait(left)
        return True

    def give_up(self) -> int:
        """Sends nothing more. How many events the server may not have."""
        with self._changed:
            self._gives_up = True
            left = self.waiting
            self._buffer.clear()
            self._in_flight = []
            self._changed.notify_all()
        self._connection.interrupt()
        return left

    def _run(self) -> None:
        attempt = 0
        while True:
            batch = self._next_batch()
            if batch is None:
                self._connection.close()
                return
            try:
                wait_s = self._deliver(batch)
            except Exception:
                # Nothing of ours may end the thread: the agent would go unheard without a word.
                log.exception("an event could not be sent")
                wait_s = None
            attempt = 0 if wait_s == 0 else attempt + 1
            if attempt:
                self.retried += 1
                self._rest(_backoff_s(attempt) if wait_s is None else wait_s * random.uniform(1.0, 1.2))

    def _next_batch(self) -> list[Item] | None:
        with self._changed:
            while not self._gives_up:
                now = time.monotonic()
                next_tick = self._on_tick(now)
                if self._in_flight:
                    return self._in_flight[: self._limit]
                if len(self._buffer):
                    if not self._is_urgent and self._buffer.bytes < BATCH_BYTES:
                        self._changed.wait_for(lambda: self._is_urgent or self._gives_up, BATCH_WAIT_S)
                        self._on_tick(time.monotonic())
                    self._limit = BATCH_EVENTS
                    self._in_flight = self._buffer.take(BATCH_EVENTS, BATCH_BYTES)
                    continue
                self._is_urgent = False
                self._changed.wait(None if next_tick is None else max(0.0, next_tick - now))
            return None

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._gives_up, seconds)

    def _deliver(self, batch: list[Item]) -> float | None:
        """One attempt. 0: go on; another number: the server asked for so many seconds; None: try again by and by."""
        body = b"".join(item.line for item in batch)
        headers = {"Content-Type": "application/x-ndjson"}
        if len(body) >= _GZIP_FROM_BYTES and not self._server.is_local:
            body = gzip.compress(body, 4)
            headers["Content-Encoding"] = "gzip"
        try:
            answer = self._connection.request("POST", "/v1/events", body, headers)
        except Unreachable as error:
            self._failed(error)
            return None
        return self._read(batch, answer)

    def _read(self, batch: list[Item], answer: Answer) -> float | None:
        if answer.status == 200:
            return self._read_results(batch, answer)
        if answer.status not in _SPOILED:
            self._failed(answer.problem())
            return answer.retry_after_s
        if len(batch) > 1:
            # One of them spoils the others: halves find it.
            self._limit = len(batch) // 2
            return 0
        self._reject(batch, answer.problem())
        self._done(len(batch), accepted=0)
        return 0

    def _read_results(self, batch: list[Item], answer: Answer) -> float | None:
        try:
            results = answer.json()["results"]
            states = [str(result["status"]) for result in results]
        except (KultiError, KeyError, TypeError):
            self._failed(KultiError(f"{self._server.url} does not answer as Kulti does"))
            return None
        if len(states) != len(batch):
            self._failed(KultiError(f"{self._server.url} answered for {len(states)} of {len(batch)} events"))
            return None
        # From the first that is to be sent again everything goes again: ids make copies harmless, the order stays.
        decided = next((index for index, state in enumerate(states) if state == "retry"), len(batch))
        accepted = 0
        for item, result in zip(batch[:decided], results, strict=False):
            if result["status"] == "rejected":
                detail = f"{item.kind}: {result.get('detail') or result.get('code')}"
                problem = Refused(detail, code=str(result.get("code", "")), field=result.get("field"))
                self._reject([item], problem)
            else:
                accepted += 1
                if result.get("warning"):
                    self._log_once(f"{item.kind}: {result['warning']}")
        self._done(decided, accepted)
        if decided == len(batch):
            return 0
        again = results[decided]
        self._failed(Refused(str(again.get("detail") or again.get("code")), code=str(again.get("code", ""))))
        return answer.retry_after_s

    def _done(self, decided: int, accepted: int) -> None:
        with self._changed:
            self._in_flight = self._in_flight[decided:]
            self.sent += accepted
            if accepted:
                self._last_problem = None
                if self._last_logged:
                    self._last_logged = ""
                    log.info("%s takes events again", self._server.url)
            self._changed.notify_all()

    def _reject(self, items: list[Item], problem: Refused) -> None:
        self.rejected += len(items)
        self._log_once(f"not taken: {problem}")
        self._on_problem(problem)

    def _failed(self, problem: KultiError) -> None:
        self._last_problem = problem
        self._log_once(f"{problem}; events are kept and sent when it works")
        self._on_problem(problem)

    def _log_once(self, text: str) -> None:
        if not self._gives_up and text != self._last_logged:
            self._last_logged = text
            log.warning("%s", text)


def _backoff_s(attempt: int) -> float:
    """Grows twofold to a bound; the jitter keeps a thousand agents from coming back at once."""
    return min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)

"""What begins, goes on and ends: calls of tools, and messages that come in parts."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from ._ids import new_name

if TYPE_CHECKING:
    from ._stream import Kulti


class ToolCall:
    """A call of a tool. Leaving the block finishes it: ok with ``output``, or error with the exception."""

    def __init__(self, stream: Kulti, id: str) -> None:
        self._stream = stream
        self._begun = time.monotonic()
        self._is_finished = False
        self.id = id
        #: What the tool answered.
        self.output: object = None

    @staticmethod
    def start(stream: Kulti, name: str, input: object, id: str | None, parent: str | None) -> ToolCall:
        call = ToolCall(stream, id or new_name("call"))
        told = {} if input is None else input
        stream.emit("tool.started", {"call": call.id, "name": name, "input": told, "parent": parent})
        return call

    def finish(self, output: object = None, status: str = "ok") -> None:
        """What came of it: ok or error. Only the first call counts."""
        if self._is_finished:
            return
        self._is_finished = True
        took = round((time.monotonic() - self._begun) * 1000)
        told = "" if output is None else output
        self._stream.emit("tool.finished", {"call": self.id, "status": status, "output": told, "duration_ms": took})

    def __enter__(self) -> ToolCall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish(self.output)
        else:
            self.finish(f"{type(error).__name__}: {error}", "error")


class Message:
    """A message that comes in parts. Leaving the block completes it with what was written."""

    def __init__(self, stream: Kulti, id: str, role: str, model: str | None) -> None:
        self._stream = stream
        self._role = role
        self._model = model
        self._text: list[str] = []
        self._is_completed = False
        self.id = id

    def write(self, text: str, channel: str = "text") -> None:
        """The next part; ``channel`` may be ``thinking``."""
        if channel == "text":
            self._text.append(text)
        self._stream._write_message(self.id, self._role, channel, text)

    def complete(self, content: str | None = None) -> None:
        """The whole message: what was written, unless told. Only the first call counts."""
        if self._is_completed:
            return
        self._is_completed = True
        self._stream._end_message(self.id)
        whole = "".join(self._text) if content is None else content
        self._stream.message(whole, self._role, model=self._model, id=self.id)

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.complete()

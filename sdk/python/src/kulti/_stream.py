"""An agent's stream: what it thinks, types, runs and builds, as calls that return at once."""

from __future__ import annotations

import asyncio
import atexit
import codecs
import logging
import sys
import traceback
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from urllib.parse import quote

from . import events
from ._errors import KultiError
from ._ids import new_name
from ._languages import language_of
from ._masking import Masker
from ._parts import Message, ToolCall
from ._recorder import Recorder
from ._settings import Server
from ._thoughts import Thoughts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import Options

log = logging.getLogger("kulti")

_Self = TypeVar("_Self", bound="Kulti")
_OUTPUT_LEVELS = frozenset(get_args(events.OutputLevel))
_THOUGHT_TYPES = frozenset(get_args(events.ThoughtType))


class Kulti(Thoughts):
    """One session of an agent.

    Every method but ``flush``, ``end`` and ``close`` returns at once: events wait in a bounded buffer and are sent by
    a thread of their own. Nothing raises because of the server, unless ``strict``. Safe to use from several threads
    and from asyncio.

        with Kulti("nex", task="Build a page") as stream:
            stream.think("Where to begin?", type="reasoning")
            stream.code("index.html", "<h1>Hello</h1>")

    Leaving the block ends the session: completed, or failed with the exception. Without a block it ends when the
    process does.

    ``stream.messages()`` and ``stream.ask()``, for what viewers say and decide, come later: these names are theirs.
    """

    def __init__(self, agent: str | None = None, server: str | None = None, **options: Unpack[Options]) -> None:
        """As ``init``. Without an agent nothing is streamed until ``init`` is called."""
        self._recorder: Recorder | None = None
        self._is_warned = False
        self._masker = Masker.off()
        self._server: Server | None = None
        self._agent = ""
        self._close_timeout_s = 5.0
        self._ends_at_exit = True
        self._files: set[str] = set()
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        if agent is not None:
            self.init(agent, server, **options)

    def init(
        self,
        agent: str,
        server: str | None = None,
        *,
        task: str | None = None,
        title: str | None = None,
        name: str | None = None,
        avatar: str | None = None,
        tags: Iterable[str] | None = None,
        visibility: events.Visibility | None = None,
        session: str | None = None,
        api_key: str | None = None,
        producer: str | None = None,
        strict: bool = False,
        mask: bool = True,
        allow: Iterable[str] = (),
        heartbeat_s: float | None = 60.0,
        close_timeout_s: float = 5.0,
        end_at_exit: bool = True,
        max_buffered_events: int = 10_000,
        max_buffered_bytes: int = 32 * 1024 * 1024,
        server_url: str | None = None,
    ) -> None:
        """Begins the session. A session that this stream had before is ended first.

        agent, name, avatar: who; ``name`` and ``avatar`` are how it is shown.
        server, api_key: else ``KULTI_URL`` and ``KULTI_API_KEY``, else http://127.0.0.1:8080.
        task, title, tags, visibility: what viewers see first. Private unless told otherwise.
        session: an id of your own, to let several processes, or a process that starts again, write one session.
        producer: a name of your own for this process. When it starts again under the same name, what its forerunner
            still sends is hidden.
        strict: raise what goes wrong: at the next call, at ``flush`` and at ``close``; here, if no server answers.
        mask, allow: whether secrets are masked before they are buffered, and texts that are none.
        heartbeat_s: after so long a silence the status is repeated, so that the session stays live. None: never.
        close_timeout_s: how long ``close``, and the end of the process, wait at most for the server.
        end_at_exit: False leaves the session open when the process ends, for the next process.
        max_buffered_events, max_buffered_bytes: beyond these the oldest output goes, and one ``error`` event tells.

        Raises ValueError for a server that is no URL.
        """
        where = Server.find(server or server_url, api_key)
        self.close()
        self._server, self._agent = where, agent
        self._close_timeout_s, self._ends_at_exit = close_timeout_s, end_at_exit
        self._files, self._decoders = set(), {}
        masker = Masker(allow) if mask else Masker.off()
        self._masker = masker
        self._recorder = Recorder(
            where,
            agent,
            session=session,
            producer=producer,
            masker=masker,
            strict=strict,
            heartbeat_s=heartbeat_s,
            max_events=max_buffered_events,
            max_bytes=max_buffered_bytes,
        )
        _open.add(self)
        started = {
            "task": task,
            "title": title,
            "visibility": visibility,
            "tags": list(tags) if tags is not None else None,
            "agent_name": name,
            "agent_avatar": avatar,
        }
        self.emit("session.started", started)
        if strict:
            try:
                self.flush(close_timeout_s)
            except KultiError:
                self._recorder.abandon()
                self._recorder = None
                raise

    # Where it can be watched

    @property
    def session(self) -> str:
        """The session's id; empty before ``init``."""
        return self._recorder.session if self._recorder else ""

    @property
    def watch_url(self) -> str:
        """The page on which the agent is live."""
        return f"{self._server.url}/watch/{quote(self._agent)}" if self._server else ""

    @property
    def session_url(self) -> str:
        """The page of this session, live and later."""
        return f"{self._server.url}/s/{quote(self.session)}" if self._server else ""

    @property
    def counts(self) -> dict[str, int]:
        """Events that wait, were sent, rejected, dropped, and attempts that were retried."""
        return self._recorder.counts if self._recorder else {}

    @property
    def masked(self) -> dict[str, int]:
        """How many secrets were masked, by rule."""
        return dict(self._masker.counts)

    # What there is to show

    def emit(self, kind: str, data: Mapping[str, Any] | None = None, *, cause: str | None = None) -> str:
        """Any event (docs/events.md). Members that are None are left out. Its id, to name it as a ``cause``."""
        recorder = self._recorder
        if recorder is None:
            if not self._is_warned:
                self._is_warned = True
                log.warning("nothing is streamed before stream.init(agent) is called")
            return ""
        members = {name: value for name, value in (data or {}).items() if value is not None}
        return recorder.emit(kind, members, cause)

    def think(self, text: str, type: str = "general", metadata: Mapping[str, Any] | None = None) -> str:
        """A thought. A type that Kulti does not know is kept in the metadata."""
        if type not in _THOUGHT_TYPES:
            metadata, type = {**(metadata or {}), "type": type}, "general"
        return self.emit("thought", {"content": text, "type": type, "metadata": metadata or None})

    def code(
        self,
        filename: str,
        content: str | None = None,
        action: str = "write",
        *,
        language: str | None = None,
        patch: str | None = None,
        old_path: str | None = None,
        call: str | None = None,
    ) -> str:
        """A file that changed: its whole content, or a unified diff as ``patch``.

        ``write`` is ``create`` for a file that this stream has not shown yet, and ``edit`` for one that it has.
        """
        if action == "write":
            action = "edit" if filename in self._files or content is None else "create"
        if action == "delete":
            self._files.discard(filename)
            content = patch = None
        else:
            self._files.add(filename)
        if old_path:
            self._files.discard(old_path)
        language = language or language_of(filename)
        data = {"path": filename, "action": action, "content": content, "patch": patch}
        return self.emit("code.changed", {**data, "language": language, "old_path": old_path, "call": call})

    def terminal(self, content: str | bytes, type: str = "output", *, terminal: str | None = None) -> None:
        """A line of a terminal: type is command, output, success, error, info or warning."""
        if type == "command":
            text = content if isinstance(content, str) else content.decode(errors="replace")
            self.command(text, terminal=terminal)
            return
        if isinstance(content, str) and not content.endswith("\n"):
            content += "\n"
        self.output(content, level=type if type in _OUTPUT_LEVELS else None, terminal=terminal)

    def command(
        self, command: str, cwd: str | None = None, *, terminal: str | None = None, call: str | None = None
    ) -> str:
        """A command that is run now."""
        self._end_output(terminal)
        return self.emit("terminal.command", {"command": command, "cwd": cwd, "terminal": terminal, "call": call})

    def output(
        self,
        text: str | bytes,
        *,
        stream: str | None = None,
        level: str | None = None,
        terminal: str | None = None,
        call: str | None = None,
    ) -> None:
        """What a terminal prints, in parts as they come, exactly: line ends are yours. Bytes are read as UTF-8.

        The end of a line that is not complete is held back for 100 ms at most, so that no part of a secret leaves
        before the rest of it came.
        """
        recorder = self._recorder
        if recorder is None:
            self.emit("terminal.output")
            return
        if isinstance(text, bytes):
            key = f"{terminal}/{stream}"
            decoder = self._decoders.setdefault(key, codecs.getincrementaldecoder("utf-8")("replace"))
            text = decoder.decode(text)
        data = {"stream": stream, "level": level, "terminal": terminal, "call": call}
        told = {name: value for name, value in data.items() if value is not None}
        recorder.stream(("terminal", terminal), "terminal.output", told, text)

    def exited(self, code: int, *, terminal: str | None = None, call: str | None = None) -> str:
        """The command ended with this code."""
        self._end_output(terminal)
        return self.emit("terminal.exited", {"code": code, "terminal": terminal, "call": call})

    def resized(self, cols: int, rows: int, *, terminal: str | None = None) -> str:
        """The terminal's size. Without one it has 80 columns and 24 rows."""
        self._end_output(terminal)
        return self.emit("terminal.resized", {"cols": cols, "rows": rows, "terminal": terminal})

    def tool(self, name: str, input: object = None, *, call: str | None = None, parent: str | None = None) -> ToolCall:
        """A tool is called. Use it as a block, or call ``finish``.

            with stream.tool("search", {"query": "kulti"}) as call:
                call.output = search("kulti")

        ``parent`` is the call of the subagent that makes this one.
        """
        return ToolCall.start(self, name, input, call, parent)

    def message(self, content: str, role: str = "assistant", *, model: str | None = None, id: str | None = None) -> str:
        """A whole message of the conversation."""
        identity = id or new_name("m")
        self.emit("message.completed", {"message": identity, "role": role, "content": content, "model": model})
        return identity

    def message_stream(self, role: str = "assistant", *, model: str | None = None, id: str | None = None) -> Message:
        """A message that comes in parts.

        with stream.message_stream(model="m") as message:
            for part in answer:
                message.write(part)
        """
        return Message(self, id or new_name("m"), role, model)

    def status(self, status: str, detail: str | None = None) -> str:
        """What the agent is doing, in a word: working, waiting, …"""
        return self.emit("status.changed", {"status": status, "detail": detail})

    def live(self) -> str:
        """The status ``live``."""
        return self.status("live")

    def task(self, task: str, description: str | None = None) -> str:
        """Another task than at the start."""
        return self.update(task=f"{task}: {description}" if description else task)

    def update(self, **changes: Any) -> str:
        """What the session says about itself: task, title, visibility, tags, agent_name, agent_avatar."""
        return self.emit("session.updated", changes)

    def progress(
        self,
        title: str | None = None,
        done: float | None = None,
        total: float | None = None,
        plan: Iterable[Mapping[str, str]] | None = None,
    ) -> str:
        """How far the work is; ``plan`` is a list of ``{"text", "state"}``."""
        steps = [dict(step) for step in plan] if plan is not None else None
        return self.emit("progress", {"title": title, "done": done, "total": total, "plan": steps})

    def usage(
        self,
        model: str,
        *,
        input: int | None = None,
        output: int | None = None,
        cache_read: int | None = None,
        cache_write: int | None = None,
        cost_usd: float | None = None,
        scope: events.UsageScope | None = None,
        cumulative: bool | None = None,
    ) -> str:
        """Tokens and money: of one call, unless ``scope`` and ``cumulative`` say otherwise."""
        tokens = {"input": input, "output": output, "cache_read": cache_read, "cache_write": cache_write}
        more = {"cost_usd": cost_usd, "scope": scope, "cumulative": cumulative}
        return self.emit("usage", {"model": model, **tokens, **more})

    def marker(self, label: str, level: object = None) -> str:
        """A name for this moment: a chapter of the recording."""
        return self.emit("marker", {"label": label, "level": level})

    def error(self, error: str | BaseException, code: str | None = None, *, fatal: bool | None = None) -> str:
        """Something went wrong. An exception brings its stack along."""
        message, stack = _described(error)
        return self.emit("error", {"message": message, "code": code, "fatal": fatal, "stack": stack})

    def memory(self, content: str, key: str | None = None, tags: Iterable[str] | None = None) -> str:
        """Something to remember beyond this session; the same key replaces it."""
        data = {"content": content, "key": key, "tags": list(tags) if tags is not None else None}
        return self.emit("memory", data)

    def preview(self, url: str, port: int | None = None) -> str:
        """What is being built can be seen here."""
        return self.emit("preview.opened", {"url": url, "port": port})

    def preview_closed(self, url: str) -> str:
        """It can no longer be seen there."""
        return self.emit("preview.closed", {"url": url})

    # The end

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until the server has everything said so far, ``timeout_s`` at most. Whether it has."""
        return self._recorder.flush(timeout_s) if self._recorder else True

    def end(self, reason: str = "completed", result: object = None) -> bool:
        """Ends the session (completed, failed, cancelled, timeout, …) and closes the stream. Whether all arrived."""
        recorder = self._recorder
        if recorder and not recorder.is_ended:
            recorder.finish_streams()
            self.emit("session.ended", {"reason": reason, "result": result})
            recorder.is_ended = True
        return self._stop()

    def close(self) -> bool:
        """As ``end``, if the session has not ended yet."""
        return self.end()

    def _stop(self) -> bool:
        recorder, self._recorder = self._recorder, None
        _open.discard(self)
        return recorder.close(self._close_timeout_s) if recorder else True

    def _write_message(self, id: str, role: str, channel: str, text: str) -> None:
        if self._recorder:
            data = {"message": id, "role": role, "channel": channel}
            self._recorder.stream(("message", id, channel), "message.delta", data, text)

    def _end_message(self, id: str) -> None:
        if self._recorder:
            for channel in get_args(events.MessageChannel):
                self._recorder.finish_stream(("message", id, channel))

    def _end_output(self, terminal: str | None) -> None:
        if self._recorder:
            self._recorder.finish_stream(("terminal", terminal))

    def _at_exit(self) -> None:
        """The process ends: so does the session, unless it is left to the next process."""
        recorder = self._recorder
        try:
            if recorder is None:
                return
            uncaught = getattr(sys, "last_value", None)
            if recorder.is_forked or not self._ends_at_exit:
                self._stop()
            elif uncaught is not None:
                self._fail(uncaught)
            else:
                self.end()
        except Exception as error:
            log.warning("%s", error)

    def _fail(self, error: BaseException) -> bool:
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            return self.end("cancelled")
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return self.end()
        if self._recorder:
            self._recorder.finish_streams()
        self.error(error, fatal=True)
        return self.end("failed", f"{type(error).__name__}: {error}")

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
            return
        try:
            self._fail(error)
        except Exception as problem:  # the agent's own exception is the one to be seen
            log.warning("%s", problem)

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    async def aflush(self, timeout_s: float = 5.0) -> bool:
        """``flush``, for asyncio."""
        return await asyncio.to_thread(self.flush, timeout_s)

    async def aend(self, reason: str = "completed", result: object = None) -> bool:
        """``end``, for asyncio."""
        return await asyncio.to_thread(self.end, reason, result)


def _described(error: str | BaseException) -> tuple[str, str | None]:
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    return error, None


_open: weakref.WeakSet[Kulti] = weakref.WeakSet()


def _close_all() -> None:
    for stream in list(_open):
        stream._at_exit()


atexit.register(_close_all)

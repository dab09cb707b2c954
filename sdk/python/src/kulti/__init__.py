"""Kulti: stream an AI agent's work as it happens, and read any moment of it back.

from kulti import stream

stream.init("nex", task="Build a page")
stream.think("Where to begin?")
"""

from __future__ import annotations

from ._errors import BufferFull, Gap, KultiError, Refused, Unreachable
from ._parts import Message, ToolCall
from ._reader import AsyncReader, Reader
from ._stream import Kulti
from ._version import VERSION as __version__
from .events import Event

#: The stream of this process, for those who need but one: nothing is streamed before ``stream.init(agent)``.
stream = Kulti()

__all__ = [
    "AsyncReader",
    "BufferFull",
    "Event",
    "Gap",
    "Kulti",
    "KultiError",
    "Message",
    "Reader",
    "Refused",
    "ToolCall",
    "Unreachable",
    "__version__",
    "stream",
]

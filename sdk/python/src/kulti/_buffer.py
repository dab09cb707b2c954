"""What waits to be sent: bounded in events and bytes, in order, and open about what it had to let go of."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

#: What goes first when there is no room: there is most of it, and it says least by itself.
_OUTPUT = frozenset({"terminal.output", "message.delta"})
#: What never goes: without them the session has no beginning or no end.
_FRAME = frozenset({"session.started", "session.ended"})


@dataclass(frozen=True)
class Item:
    """One event as it goes over the wire."""

    id: str
    seq: int
    kind: str
    line: bytes


@dataclass
class Loss:
    """What one ``error`` event with the code ``buffer_full`` stands for."""

    id: str
    first_seq: int
    last_seq: int
    events: int = 0
    bytes: int = 0


class Buffer:
    """A queue of events. Not safe for several threads: whoever calls holds the stream's lock."""

    def __init__(self, max_events: int, max_bytes: int, describe: Callable[[Loss], bytes]) -> None:
        """``describe`` makes the line of the event that stands in the place of what was let go of."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._describe = describe
        self._items: OrderedDict[int, Item] = OrderedDict()
        self._output: deque[int] = deque()
        self._bytes = 0
        self._loss: Loss | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """Bytes of JSON that wait."""
        return self._bytes

    def append(self, item: Item) -> bool:
        """Takes an event. False if older ones had to go for it."""
        self._put(item)
        fits = True
        while self._is_over() and self._drop_oldest():
            fits = False
        return fits

    def take(self, max_events: int, max_bytes: int) -> list[Item]:
        """Removes the oldest events: at least one, if there is any."""
        taken: list[Item] = []
        size = 0
        while self._items and len(taken) < max_events:
            item = next(iter(self._items.values()))
            if taken and size + len(item.line) > max_bytes:
                break
            size += len(item.line)
            taken.append(self._remove(item.seq))
        if self._loss and self._loss.first_seq not in self._items:
            # It is on its way: what is let go of from here on is told by another one.
            self._loss = None
        return taken

    def clear(self) -> int:
        """Lets go of everything. How many events it was."""
        count = len(self._items)
        self._items.clear()
        self._output.clear()
        self._bytes = 0
        self._loss = None
        return count

    def _is_over(self) -> bool:
        return len(self._items) > self._max_events or self._bytes > self._max_bytes

    def _put(self, item: Item) -> None:
        self._items[item.seq] = item
        self._bytes += len(item.line)
        if item.kind in _OUTPUT:
            self._output.append(item.seq)

    def _remove(self, seq: int) -> Item:
        item = self._items.pop(seq)
        self._bytes -= len(item.line)
        if self._output and self._output[0] == seq:
            self._output.popleft()
        return item

    def _drop_oldest(self) -> bool:
        seq = self._oldest_to_drop()
        if seq is None:
            return False
        item = self._items[seq]
        self.dropped += 1
        if self._loss is None:
            # The notice takes the first one's place, id and number: the order of ids and numbers stays.
            self._loss = Loss(item.id, item.seq, item.seq)
        loss = self._loss
        loss.last_seq = max(loss.last_seq, item.seq)
        loss.events += 1
        loss.bytes += len(item.line)
        if seq != loss.first_seq:
            self._remove(seq)
        self._replace(loss)
        return True

    def _replace(self, loss: Loss) -> None:
        before = self._items[loss.first_seq]
        line = self._describe(loss)
        self._items[loss.first_seq] = Item(loss.id, loss.first_seq, "error", line)
        self._bytes += len(line) - len(before.line)
        if self._output and self._output[0] == loss.first_seq:
            self._output.popleft()

    def _oldest_to_drop(self) -> int | None:
        if self._output:
            return self._output[0]
        kept = self._loss.first_seq if self._loss else None
        for seq, item in self._items.items():
            if item.kind not in _FRAME and seq != kept:
                return seq
        return None

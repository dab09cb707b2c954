"""Short names for thoughts of each type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class Thoughts(ABC):
    """What `Kulti.think` can also be called."""

    @abstractmethod
    def think(self, text: str, type: str = "general", metadata: Mapping[str, Any] | None = None) -> str:
        """A thought."""

    def reason(self, text: str) -> str:
        """Why something is done."""
        return self.think(text, "reasoning")

    def decide(self, text: str) -> str:
        """A choice that was made."""
        return self.think(text, "decision")

    def observe(self, text: str) -> str:
        """Something that was noticed."""
        return self.think(text, "observation")

    def evaluate(self, text: str, options: Sequence[str] | None = None, chosen: str | None = None) -> str:
        """What there is to choose from, and what was chosen."""
        return self.think(text, "evaluation", _told(options=options, chosen=chosen))

    def context(self, text: str, file: str | None = None) -> str:
        """Something that was read to understand."""
        return self.think(text, "context", _told(file=file))

    def prompt(self, text: str) -> str:
        """A prompt that was written for a model."""
        return self.think(text, "prompt")


def _told(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}

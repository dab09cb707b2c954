"""Hides secrets before they are buffered. What the rules mean is in masking/README.md, and the same everywhere."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

#: How long the end of a line that is not complete waits for the rest.
HOLD_S = 0.1
#: More is not held: what is a secret as it stands is masked, the rest goes out.
_MAX_HELD = 64 * 1024
#: A private key that does not end within so many characters is none.
_MAX_KEY = 16 * 1024
#: What stays known of what went out, so that a secret that began in it is found, and its rest masked.
_CONTEXT = 512
_MAX_PLACEHOLDER = 200

_WORD = re.compile(r"[A-Za-z0-9_]")
_ALNUM = re.compile(r"[A-Za-z0-9]")
_CAPITALS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_KEY_BEGINS = re.compile(r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY")
_KEY_ENDS = re.compile(r"-{5,6}END[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_VALUE_AT_END = re.compile(r"[^ \t\r\n\"'=:`]*$")
#: Beside private keys, the one secret that may begin lines before its value: `machine … login … password …`.
_GOES_OVER_LINES = re.compile("machine", re.IGNORECASE)
_LINE_ENDS = re.compile(r"[\r\n]")


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    rule: int


class _Rules:
    """The rules, compiled as they are needed: most processes meet few of them."""

    def __init__(self) -> None:
        told = json.loads(resources.files(__package__).joinpath("_rules.json").read_text(encoding="utf-8"))
        self.rules: list[dict[str, Any]] = told["rules"]
        self.marker: str = told["marker"]
        self.transparent = re.compile(told["transparent"])
        self.escape_at_end = re.compile(f"(?:{told['escapes']})$")
        self.placeholders = [word.lower() for word in [*told["placeholders"], *told["allow"]]]
        self.placeholders_of_named = [word.lower() for word in told["placeholders_of_named"]]
        self.common_passwords = frozenset(told["placeholder_passwords"])
        self.by_keyword: dict[str, list[int]] = {}
        for number, rule in enumerate(self.rules):
            for keyword in rule["keywords"]:
                self.by_keyword.setdefault(keyword.lower(), []).append(number)
        self._keyword_lengths = sorted({len(keyword) for keyword in self.by_keyword})
        self._any_keyword = re.compile(_any_of(self.by_keyword))
        self._patterns: list[re.Pattern[str] | None] = [None] * len(self.rules)

    def pattern(self, number: int) -> re.Pattern[str]:
        pattern = self._patterns[number]
        if pattern is None:
            flags = re.ASCII | (re.IGNORECASE if self.rules[number].get("ignore_case") else 0)
            pattern = self._patterns[number] = re.compile(self.rules[number]["pattern"], flags)
        return pattern

    def candidates(self, text: str) -> Iterable[tuple[int, int]]:
        """Where which rule's pattern may begin."""
        low = text.lower()
        if len(low) != len(text):
            low = text.translate(_CAPITALS)  # a letter outside of ASCII may grow
        found = self._any_keyword.search(low)
        while found:
            at = found.start()
            for length in self._keyword_lengths:
                for number in self.by_keyword.get(low[at : at + length], ()):
                    start = self._start(number, text, at)
                    if start is not None:
                        yield start, number
            found = self._any_keyword.search(low, at + 1)

    def has_keyword(self, text: str) -> bool:
        return bool(self._any_keyword.search(text.lower()))

    def _start(self, number: int, text: str, at: int) -> int | None:
        rule = self.rules[number]
        if rule.get("not_after"):
            # What stands before makes it the name of something else: `next_token`.
            before = text[max(0, at - 32) : at].rstrip("_-").lower()
            if before.endswith(tuple(rule["not_after"])):
                return None
        start = at
        back = rule.get("back")
        if back:
            chars = _chars(back["chars"])
            while at - start < back["most"] and start > 0 and chars.match(text[start - 1]):
                start -= 1
            if at - start < back["least"]:
                return None
        if rule.get("word") and start > 0 and _WORD.match(text[start - 1]):
            # `\nghp_…` in a text of JSON: the n is no part of the word.
            return start if self.escape_at_end.search(text[max(0, start - 16) : start]) else None
        return start

    def match(self, number: int, text: str, start: int) -> tuple[int, int] | None:
        """The secret's part of what matches here."""
        rule = self.rules[number]
        found = self.pattern(number).match(text, start)
        if not found:
            return None
        group = next((group for group in range(1, found.re.groups + 1) if found.group(group) is not None), 0)
        begin, end = found.span(group)
        if begin == end or (rule.get("end") and _ALNUM.match(text[end : end + 1])):
            return None
        end_not = rule.get("end_not")
        if end_not and (text[end : end + 1] in (*end_not,) or text[end : end + 16].lstrip(" \t").startswith("=")):
            return None
        return begin, end

    def is_secret(self, number: int, secret: str) -> bool:
        rule = self.rules[number]
        named = rule.get("random") or rule.get("password")
        if (
            len(secret) < rule.get("min_length", 0)
            or (rule.get("digit") and not re.search("[0-9]", secret))
            or (rule.get("mixed") and not _is_mixed(secret))
            or (rule.get("random") and not _is_random(secret))
            or (rule.get("password") and self._is_common(secret))
            or ("min_entropy" in rule and _entropy(secret) < rule["min_entropy"])
        ):
            return False
        if len(secret) > _MAX_PLACEHOLDER:
            return True
        low = secret.lower()
        words = [*self.placeholders, *self.placeholders_of_named] if named else self.placeholders
        return not any(word in low for word in words)

    def _is_common(self, secret: str) -> bool:
        if secret.lower() in self.common_passwords or secret[0] in "/.$%@&{<":
            return True
        return bool(re.match("0x|[0-9]+/", secret))


def _any_of(words: Iterable[str]) -> str:
    """A pattern for the shortest of the words that begins somewhere, without trying each: a tree of their letters."""
    by_first: dict[str, list[str]] = {}
    for word in words:
        if not word:
            return ""
        by_first.setdefault(word[0], []).append(word[1:])
    return f"(?:{'|'.join(re.escape(first) + _any_of(rests) for first, rests in sorted(by_first.items()))})"


@cache
def _rules() -> _Rules:
    return _Rules()


@cache
def _chars(inner: str) -> re.Pattern[str]:
    return re.compile(f"[{inner}]")


def _entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    length = len(text)
    return -sum(count / length * math.log2(count / length) for count in Counter(text).values())


def _is_mixed(text: str) -> bool:
    return bool(re.search("[A-Za-z]", text) and re.search("[0-9]", text))


def _is_random(text: str) -> bool:
    """Whether a generator made it, rather than a person who gave something a name."""
    if len(text) < 16 or text[0] in "/.$%@&" or not _is_mixed(text) or _entropy(text) < 3.0:
        return False
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in text if _ALNUM.match(c)]
    changes = sum(one != other for one, other in itertools.pairwise(classes))
    return changes * 100 >= len(text) * 20


class Masker:
    """Puts ``[masked:rule]`` in the place of secrets."""

    def __init__(self, allow: Iterable[str] = (), *, is_on: bool = True) -> None:
        """``allow``: secrets that are none, or ``/pattern/`` that the whole of one matches. Raises re.error."""
        self.is_on = is_on
        entries = [entry.strip() for entry in allow if entry.strip()]
        patterns = [entry for entry in entries if len(entry) > 2 and entry.startswith("/") and entry.endswith("/")]
        self._allowed = frozenset(entries) - frozenset(patterns)
        self._allowed_patterns = [re.compile(pattern[1:-1]) for pattern in patterns]
        self._lock = threading.Lock()
        #: How many secrets were masked, by rule.
        self.counts: Counter[str] = Counter()

    @staticmethod
    def off() -> Masker:
        """Masks nothing."""
        return Masker(is_on=False)

    def mask(self, text: str) -> str:
        """The text with markers in place of secrets."""
        if not self.is_on or len(text) < 8:
            return text
        return self.write(text, self.spans(text), 0, len(text))

    def member(self, name: str, value: str) -> str:
        """A member's value, masked also where only its name says that it is a secret."""
        if not self.is_on or len(value) < 8:
            return value
        if name == "base64":
            return self._mask_base64(value)
        rule = self._rule_of_member(name, value)
        return self.mask(value) if rule is None else self._marker(rule)

    def spans(self, text: str) -> list[_Span]:
        """Secrets in order, none in another. Sequences that only colour the text count as if they were not there."""
        if "\x1b" not in text:
            return self._plain_spans(text)
        plain: list[str] = []
        places: list[int] = []
        last = 0
        for escape in _rules().transparent.finditer(text):
            plain.append(text[last : escape.start()])
            places.extend(range(last, escape.start()))
            last = escape.end()
        plain.append(text[last:])
        places.extend(range(last, len(text)))
        found = self._plain_spans("".join(plain))
        return [_Span(places[span.start], places[span.end - 1] + 1, span.rule) for span in found]

    def write(self, text: str, spans: list[_Span], begin: int, end: int) -> str:
        """The part of the text from ``begin`` to ``end``, which cuts no span in two, masked."""
        out: list[str] = []
        last = begin
        for span in spans:
            if span.end <= begin or span.end > end:
                continue
            start = max(span.start, last)
            hidden = text[start : span.end]
            inside = "".join(_rules().transparent.findall(hidden)) if "\x1b" in hidden else ""
            out += [text[last:start], self._marker(span.rule), inside]
            last = span.end
        out.append(text[last:end])
        return "".join(out)

    def _plain_spans(self, text: str) -> list[_Span]:
        rules = _rules()
        found = []
        for start, number in rules.candidates(text):
            place = rules.match(number, text, start)
            if place and rules.is_secret(number, text[slice(*place)]) and not self._allows(text[slice(*place)]):
                found.append(_Span(*place, number))
        found.sort(key=lambda span: (span.start, span.rule))
        merged: list[_Span] = []
        for span in found:
            if merged and span.start < merged[-1].end:
                merged[-1] = _Span(merged[-1].start, max(merged[-1].end, span.end), merged[-1].rule)
            else:
                merged.append(span)
        return merged

    def _allows(self, secret: str) -> bool:
        return secret in self._allowed or any(pattern.fullmatch(secret) for pattern in self._allowed_patterns)

    def _marker(self, rule: int) -> str:
        name = _rules().rules[rule]["name"]
        with self._lock:
            self.counts[name] += 1
        return _rules().marker.replace("{name}", name)

    def _rule_of_member(self, name: str, value: str) -> int | None:
        """The rule by which all of a member's value is a secret because of its name."""
        if not _rules().has_keyword(name):
            return None
        head = f'"{name}": "'
        first = next(iter(self.spans(head + value)), None)
        if first is None or first.start > len(head) or first.end <= len(head):
            return None
        alone = next(iter(self.spans(value)), None)
        return None if alone and alone.start == 0 else first.rule

    def _mask_base64(self, value: str) -> str:
        try:
            text = base64.b64decode(value, validate=True).decode("latin-1")
        except (binascii.Error, ValueError):
            return self.mask(value)
        masked = self.mask(text)
        return value if masked == text else base64.b64encode(masked.encode("latin-1")).decode()


class StreamMasker:
    """Masks what comes in parts, however it is cut.

    Whole lines go out at once. The end of a line waits for the rest of it, or for `HOLD_S`; then a value that may be
    the beginning of a secret waits on, and the rest goes out.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        #: What went out last, as it was before masking; then what is held.
        self._text = ""
        self._held_from = 0

    @property
    def is_holding(self) -> bool:
        """Whether something waits."""
        return self._held_from < len(self._text)

    def push(self, text: str) -> str:
        """Takes a part. What can go out, masked."""
        if not self._masker.is_on:
            return text
        self._text += text
        if len(self._text) - self._held_from > _MAX_HELD:
            return self._release(len(self._text))
        line = max(self._text.rfind("\n", self._held_from), self._text.rfind("\r", self._held_from)) + 1
        return self._release(min(max(line, self._held_from), self._open_key()))

    def tick(self) -> str:
        """The rest of the line did not come in time: what goes out without it."""
        end = self._open_key()
        value = _VALUE_AT_END.search(self._text, self._held_from)
        if value and any(self._is_begun(start) for start, _ in _rules().candidates(self._text)):
            end = min(end, value.start())
        return self._release(end)

    def flush(self) -> str:
        """The stream has ended, or pauses for good: everything that waits, masked as it stands."""
        return self._release(len(self._text))

    def _is_begun(self, start: int) -> bool:
        """Whether what begins here may go on with the next part: it is on the last line."""
        return not _LINE_ENDS.search(self._text, start)

    def _open_key(self) -> int:
        """Where a private key begins that has not ended; the end if there is none."""
        begins = max(_KEY_BEGINS.finditer(self._text), key=lambda found: found.start(), default=None)
        if begins is None or _KEY_ENDS.search(self._text, begins.end()):
            return len(self._text)
        return len(self._text) if len(self._text) - begins.start() > _MAX_KEY else begins.start()

    def _release(self, end: int) -> str:
        end = max(end, self._held_from)
        if end == self._held_from:
            return ""
        spans = self._masker.spans(self._text)
        # A secret goes out as a whole or not at all.
        for span in spans:
            if max(span.start, self._held_from) < end < span.end:
                end = max(span.start, self._held_from)
                break
        out = self._masker.write(self._text, spans, self._held_from, end)
        forgotten = max(0, end - _CONTEXT)
        if not _GOES_OVER_LINES.search(self._text, forgotten, end):
            line = max(self._text.rfind("\n", forgotten, end), self._text.rfind("\r", forgotten, end)) + 1
            forgotten = max(forgotten, line)
        self._text = self._text[forgotten:]
        self._held_from = end - forgotten
        return out

"""The vectors that every reader of masking/rules.json is tested with."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from kulti._clean import clean
from kulti._masking import Masker, StreamMasker

VECTORS = json.loads((Path(__file__).parents[3] / "masking" / "vectors.json").read_text(encoding="utf-8"))


def joined(parts: str | list[str]) -> str:
    return parts if isinstance(parts, str) else "".join(parts)


def names(vectors: list[dict[str, Any]]) -> list[str]:
    return [f"{index}-{vector.get('rule')}" for index, vector in enumerate(vectors)]


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=names(VECTORS["texts"]))
def test_each_text_becomes_what_its_vector_says(vector: dict[str, Any]) -> None:
    assert Masker().mask(joined(vector["text"])) == joined(vector["masked"])


@pytest.mark.parametrize("vector", VECTORS["json"], ids=names(VECTORS["json"]))
def test_names_of_members_say_what_is_a_secret(vector: dict[str, Any]) -> None:
    told = clean(json.loads(joined(vector["json"])), Masker())
    assert told == json.loads(joined(vector["masked"]))


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=names(VECTORS["texts"]))
def test_a_text_that_comes_in_parts_is_masked_as_if_it_came_whole(vector: dict[str, Any]) -> None:
    text = f"before\n{joined(vector['text'])}\nafter\n"
    whole = Masker().mask(text)
    cuts = [*range(1, len(text), max(1, len(text) // 8))]
    for cut in cuts:
        stream = StreamMasker(Masker())
        assert stream.push(text[:cut]) + stream.push(text[cut:]) + stream.flush() == whole, cut
    byte_by_byte = StreamMasker(Masker())
    assert "".join(map(byte_by_byte.push, text)) + byte_by_byte.flush() == whole


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=names(VECTORS["texts"]))
def test_no_whole_secret_leaves_however_long_its_parts_take(vector: dict[str, Any]) -> None:
    secret, text = joined(vector.get("secret", [])), joined(vector["text"])
    if not secret:
        return
    for cut in range(1, len(text), max(1, len(text) // 6)):
        stream = StreamMasker(Masker())
        out = stream.push(text[:cut]) + stream.tick() + stream.push(text[cut:]) + stream.tick() + stream.flush()
        assert secret not in out, cut


def test_what_holds_no_secret_comes_out_as_it_went_in() -> None:
    seeded = random.Random(7)
    words = [
        "token",
        "=",
        " ",
        "\n",
        "\r",
        "\x1b[31m",
        "\x1b",
        "password: ",
        "://",
        "-----BEGIN",
        "ü",
        "\t",
        "ok",
        "eyJ",
    ]
    for _ in range(200):
        text = "".join(seeded.choices(words, k=60))
        stream = StreamMasker(Masker())
        out = ""
        rest = text
        while rest:
            size = seeded.randint(1, 9)
            out += stream.push(rest[:size])
            if seeded.random() < 0.3:
                out += stream.tick()
            rest = rest[size:]
        assert out + stream.flush() == text == Masker().mask(text)


def test_a_prompt_is_seen_while_somebody_thinks() -> None:
    stream = StreamMasker(Masker())
    assert stream.push("Password: ") == ""
    assert stream.tick() == "Password: "


def test_what_is_allowed_stays_and_what_is_masked_is_counted() -> None:
    vector = next(vector for vector in VECTORS["texts"] if vector.get("secret"))
    text, secret = joined(vector["text"]), joined(vector["secret"])
    assert Masker([secret]).mask(text) == text
    assert Masker.off().mask(text) == text
    masker = Masker()
    masker.mask(text)
    assert masker.counts == {vector["rule"]: 1}

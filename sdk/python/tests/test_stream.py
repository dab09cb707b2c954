"""What an agent says, at a real Kulti."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest

import kulti as package
from kulti import AsyncReader, Kulti, Reader, Refused, stream

from .conftest import KultiServer, is_told_once_and_in_order, said


def test_calls_written_for_the_first_sdk_work_unchanged(kulti: KultiServer) -> None:
    stream.init("first", server=kulti.url)
    stream.think("Comparing", type="evaluation", metadata={"options": ["a", "b"], "chosen": "a"})
    stream.code("app.py", "print('hello')", "write")
    stream.code("app.py", "print('hello world')", action="edit")
    session = stream.session
    assert stream.end()
    events = kulti.ended(session)
    assert [event["kind"] for event in events] == [
        "session.started",
        "thought",
        "code.changed",
        "code.changed",
        "session.ended",
    ]
    assert events[1]["data"]["metadata"] == {"options": ["a", "b"], "chosen": "a"}
    assert events[1]["data"]["type"] == "evaluation"
    assert [event["data"].get("action") for event in events[2:4]] == ["create", "edit"]
    assert events[2]["data"]["language"] == "python"


def test_everything_that_can_be_said_is_taken(kulti: KultiServer) -> None:
    with Kulti("nex", task="Say all", name="Nex", avatar="⚡", tags=["t"], visibility="public") as nex:
        nex.reason("why")
        nex.decide("which")
        nex.observe("what")
        nex.evaluate("weighing", ["a"], "a")
        nex.context("read", "README.md")
        nex.prompt("ask")
        nex.think("of its own kind", type="musing")
        nex.command("make", cwd="/src")
        nex.output("one\ntw")
        nex.output("o\n", stream="stderr")
        nex.output(b"\xe2\x9c")
        nex.output(b"\x93\n")
        nex.exited(0)
        nex.resized(100, 30)
        nex.terminal("npm run dev", "command")
        nex.terminal("✓ Ready", "success")
        nex.code("b.rs", patch="@@ -1 +1 @@\n-a\n+b\n")
        nex.code("b.rs", action="delete")
        with nex.tool("search", {"query": "kulti"}) as call:
            call.output = {"hits": 1}
        with pytest.raises(ZeroDivisionError), nex.tool("divide"):
            _ = 1 / 0
        with nex.message_stream(model="m") as message:
            message.write("Let me see", channel="thinking")
            for part in ("Hel", "lo\nwor", "ld"):
                message.write(part)
        nex.message("Go on", role="user")
        nex.status("waiting", "for tests")
        nex.live()
        nex.progress("building", 1, 3, [{"text": "test", "state": "pending"}])
        nex.usage("m", input=10, output=2, cache_read=3, cache_write=4, cost_usd=0.5, scope="call")
        nex.marker("half way", level=2)
        nex.error(ValueError("bad"), code="e")
        nex.memory("likes tea", key="tea", tags=["taste"])
        nex.preview("http://127.0.0.1:3000", 3000)
        nex.preview_closed("http://127.0.0.1:3000")
        nex.task("Another", "in detail")
        cause = nex.emit("custom", {"name": "mine", "value": [1]})
        nex.emit("custom", {"name": "mine", "value": 2}, cause=cause)
        session = nex.session
        assert nex.flush()
        assert nex.counts["rejected"] == 0
    events = kulti.ended(session)
    assert is_told_once_and_in_order(events)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_kind.setdefault(event["kind"], []).append(event["data"])
    assert by_kind["session.started"] == [
        {"task": "Say all", "visibility": "public", "tags": ["t"], "agent_name": "Nex", "agent_avatar": "⚡"}
    ]
    assert "".join(data["text"] for data in by_kind["terminal.output"]) == "one\ntwo\n✓\n✓ Ready\n"
    assert [data["status"] for data in by_kind["tool.finished"]] == ["ok", "error"]
    assert by_kind["tool.finished"][0]["output"] == {"hits": 1}
    assert "".join(data["text"] for data in by_kind["message.delta"] if data["channel"] == "text") == "Hello\nworld"
    assert [data["content"] for data in by_kind["message.completed"]] == ["Hello\nworld", "Go on"]
    assert by_kind["thought"][6] == {"content": "of its own kind", "type": "general", "metadata": {"type": "musing"}}
    assert "ValueError: bad" in by_kind["error"][0]["stack"]
    assert by_kind["session.ended"] == [{"reason": "completed"}]
    assert kulti.reader.session(session)["visibility"] == "public"


def test_leaving_the_block_with_an_exception_ends_the_session_as_failed(kulti: KultiServer) -> None:
    session = ""
    with pytest.raises(KeyError), Kulti("nex") as nex:
        session = nex.session
        raise KeyError("lost")
    events = kulti.ended(session)
    assert [event["kind"] for event in events] == ["session.started", "error", "session.ended"]
    assert events[1]["data"]["fatal"] is True
    assert events[2]["data"]["reason"] == "failed"


def test_what_cannot_be_json_is_said_as_text_and_never_raises(kulti: KultiServer) -> None:
    @dataclass
    class Point:
        x: int

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    ring: dict[str, Any] = {}
    ring["self"] = ring
    with Kulti("nex") as nex:
        odd: dict[Any, Any] = {
            "a": {1, 2},
            "b": b"\xff",
            "c": Point(1),
            "d": Broken(),
            "e": float("nan"),
            "f": ring,
            7: "\ud800",
        }
        nex.think("odd \x00", metadata=odd)
        session = nex.session
    (thought,) = [event for event in kulti.ended(session) if event["kind"] == "thought"]
    told = thought["data"]["metadata"]
    assert told["a"] == [1, 2]
    assert told["c"] == {"x": 1}
    assert told["d"] == "<Broken>"
    assert told["e"] == "nan"
    assert told["7"] == "?"
    assert thought["data"]["content"] == "odd \x00"


def test_an_event_that_is_too_large_is_said_to_be_missing_and_its_neighbours_arrive(kulti: KultiServer) -> None:
    with Kulti("nex") as nex:
        nex.think("before")
        nex.code("big.txt", "x" * 2_000_000)
        nex.output("y" * 300_000 + "\n")
        nex.think("after")
        session = nex.session
    events = kulti.ended(session)
    assert said(events) == ["before", "after"]
    assert [event["data"]["code"] for event in events if event["kind"] == "error"] == ["event_too_large"]
    assert sum(len(event["data"]["text"]) for event in events if event["kind"] == "terminal.output") == 300_001


def test_a_refused_event_is_counted_and_strict_streams_raise_it(kulti: KultiServer) -> None:
    with Kulti("nex") as nex:
        nex.emit("chat", {"text": "as a viewer"})
        nex.think("after")
        assert nex.flush()
        assert nex.counts["rejected"] == 1
        session = nex.session
    assert said(kulti.ended(session)) == ["after"]
    strict = Kulti("nex", strict=True)
    strict.emit("chat", {"text": "as a viewer"})
    with pytest.raises(Refused) as caught:
        strict.flush()
    assert caught.value.code == "kind_not_allowed"
    strict.end()


def test_a_silent_agent_gives_a_sign_of_life(kulti: KultiServer) -> None:
    with Kulti("nex", heartbeat_s=0.3) as nex:
        nex.status("compiling", "for long")
        events = kulti.events(nex.session, 4)
    told = [event["data"] for event in events if event["kind"] == "status.changed"]
    assert told[:3] == [{"status": "compiling", "detail": "for long"}] * 3


def test_secrets_do_not_leave_however_they_are_said(kulti: KultiServer) -> None:
    secret = "ghp_" + "x7Kq2mZ9vB4nL8wR1tY6" + "uJ3hF5sD0aPcEgQi"
    with Kulti("nex") as nex:
        nex.think(f"the token is {secret}", metadata={"env": [secret]})
        for part in ("export GH=", secret[:9], secret[9:20], secret[20:], "\n"):
            nex.output(part)
        nex.code("a.env", f"GH={secret}\n")
        with nex.message_stream() as message:
            message.write(secret[:12])
            message.write(secret[12:])
        session = nex.session
    told = str(kulti.ended(session))
    assert secret not in told
    assert secret[4:12] not in told
    assert told.count("[masked:github-token]") >= 5
    assert nex.masked["github-token"] >= 5


def test_another_process_goes_on_with_a_session_that_was_left_open(kulti: KultiServer) -> None:
    first = Kulti("nex", end_at_exit=False)
    first.think("one")
    session = first.session
    assert first._stop()
    with Kulti("nex", session=session) as second:
        second.think("two")
    assert said(kulti.ended(session)) == ["one", "two"]


def test_a_forked_child_is_another_producer_and_does_not_end_the_session(kulti: KultiServer) -> None:
    with Kulti("nex") as nex:
        nex.think("parent")
        child = os.fork()
        if child == 0:
            nex.think("child")
            os._exit(0 if nex.flush() else 1)
        assert os.waitpid(child, 0)[1] == 0
        nex.think("parent again")
        session = nex.session
    events = kulti.ended(session)
    assert sorted(said(events)) == ["child", "parent", "parent again"]
    assert len({event["producer"] for event in events}) == 2
    assert len([event for event in events if event["kind"] == "session.ended"]) == 1


def test_nothing_is_streamed_and_nothing_raises_before_init() -> None:
    unstarted = Kulti()
    assert unstarted.think("to nobody") == ""
    unstarted.output("to nobody")
    assert unstarted.flush()
    assert unstarted.end()


def test_a_server_that_is_no_address_is_named_at_once() -> None:
    with pytest.raises(ValueError, match="server must be a URL"):
        Kulti("nex", server="localhost:8080")


def test_any_moment_can_be_read_back(kulti: KultiServer) -> None:
    with Kulti("historian", title="Moments") as nex:
        for number in range(20):
            nex.think(f"thought {number}")
        nex.output("printed\r\n")
        nex.code("src/a.py", "x = 1\n")
        session = nex.session
    kulti.ended(session)
    reader = Reader(kulti.url)
    assert reader.state(session, 5)["position"] == 5
    assert reader.state(session)["position"] == 24
    assert reader.state(session, timedelta(0))["position"] >= 1
    assert reader.session(session)["title"] == "Moments"
    assert [found["id"] for found in reader.sessions(agent="historian", limit=1)] == [session]
    assert said(list(reader.replay(session, speed="max"))) == [f"thought {number}" for number in range(20)]
    assert said(list(reader.replay(session, start=11, speed=64))) == [f"thought {number}" for number in range(10, 20)]
    filtered = [event["kind"] for event in reader.watch(session, start="start", kinds=["code.changed"])]
    assert filtered == ["session.started", "code.changed", "session.ended"], "what frames a session is never hidden"
    with pytest.raises(Refused) as caught:
        reader.state("nobody-knows-this")
    assert (caught.value.status, caught.value.code) == (404, "not_found")


def test_the_same_in_asyncio(kulti: KultiServer) -> None:
    async def agent_and_viewer() -> list[str]:
        reader = AsyncReader(kulti.url)
        async with Kulti("async") as nex:
            nex.think("first")
            assert await nex.aflush()
            watching = reader.watch(nex.session, start="start")
            seen = [(await anext(watching))["kind"] for _ in range(2)]
            nex.think("second")
            seen.append((await anext(watching))["kind"])
            session = nex.session
        seen += [event["kind"] async for event in watching]
        await asyncio.to_thread(kulti.ended, session)
        assert (await reader.state(session))["position"] == 4
        assert [event["kind"] async for event in reader.replay(session, speed="max")] == seen
        return seen

    assert asyncio.run(agent_and_viewer()) == ["session.started", "thought", "thought", "session.ended"]


def test_a_viewer_who_is_cancelled_lets_go_at_once(kulti: KultiServer) -> None:
    async def leave_early() -> None:
        async with Kulti("async") as nex:
            assert await nex.aflush()
            watching = AsyncReader(kulti.url).watch(nex.session, start="start")
            await anext(watching)
            waiting = asyncio.ensure_future(anext(watching))
            await asyncio.sleep(0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(asyncio.wait_for(leave_early(), 20))


def test_the_version_is_the_one_of_the_package() -> None:
    assert version("kulti") == package.__version__

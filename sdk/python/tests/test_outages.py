"""Servers that are away, slow, full, or lie: an agent does not notice, and each event is there once, in order."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

import pytest

from kulti import BufferFull, Event, Kulti, KultiError, Unreachable

from .conftest import KultiServer, free_port, is_told_once_and_in_order, said, wait_for
from .weather import hanging_server, relay

GONE = "http://127.0.0.1:1"


def test_a_server_that_is_killed_and_comes_back_has_each_event_once_in_order(kulti: KultiServer) -> None:
    nex = Kulti("nex", close_timeout_s=60)
    seen: list[Event] = []
    watching = threading.Thread(target=lambda: seen.extend(kulti.reader.watch(nex.session, start="start")), daemon=True)
    said_so_far = 0

    def say(count: int) -> None:
        nonlocal said_so_far
        for _ in range(count):
            nex.think(f"{said_so_far}")
            said_so_far += 1
            if said_so_far % 50 == 0:
                time.sleep(0.01)  # an agent has a pace; batches come between kills

    say(300)
    kulti.events(nex.session, 1)
    watching.start()
    for _ in range(2):
        say(300)
        kulti.kill()
        say(300)
        kulti.start()
    say(300)
    session = nex.session
    assert nex.end(), nex.counts
    events = kulti.ended(session)
    assert is_told_once_and_in_order(events)
    assert said(events) == [str(number) for number in range(said_so_far)]
    watching.join(60)
    assert [event["id"] for event in seen] == [event["id"] for event in events], "a viewer saw another session"


def test_answers_that_say_later_are_obeyed_and_nothing_is_doubled_or_lost(kulti: KultiServer) -> None:
    with relay(kulti.url) as server:
        server.behaviours.extend(
            [
                "only the first half",
                "lose the answer",
                "only the first half",
                (500, {}),
                (401, {}),
                (503, {"Retry-After": "0"}),
                (429, {"Retry-After": "0.2"}),
            ]
        )
        with Kulti("nex", server=server.url, close_timeout_s=60) as nex:
            for number in range(50):
                nex.think(str(number))
            session = nex.session
        assert not server.behaviours
    events = kulti.ended(session)
    assert said(events) == [str(number) for number in range(50)]
    assert is_told_once_and_in_order(events)


def test_retry_after_is_waited_for(kulti: KultiServer) -> None:
    with relay(kulti.url) as server:
        server.behaviours.append((503, {"Retry-After": "1"}))
        begun = time.monotonic()
        with Kulti("nex", server=server.url, close_timeout_s=60):
            pass
        assert time.monotonic() - begun >= 1.0
        assert server.requests == 2


def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_alone(kulti: KultiServer) -> None:
    with relay(kulti.url) as server:
        server.behaviours.extend([(413, {}), (413, {}), (413, {}), (413, {})])
        with Kulti("nex", server=server.url, close_timeout_s=60) as nex:
            for number in range(7):
                nex.think(str(number))
            session = nex.session
    events = kulti.ended(session)
    # Of 8 or 9 events the first is refused alone after three halvings; the others arrive.
    assert said(events) == [str(number) for number in range(7)]
    assert "session.started" not in [event["kind"] for event in events]


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "hanging"])
def test_an_agent_never_waits_for_a_server(is_gone: bool) -> None:
    with hanging_server() as hanging:
        nex = Kulti("nex", server=GONE if is_gone else hanging, close_timeout_s=0.5)
        begun = time.monotonic()
        for number in range(5000):
            nex.think(f"thought {number}")
            nex.output(f"line {number}\n")
        took = time.monotonic() - begun
        assert not nex.flush(0.1)
        assert not nex.end()
        # 10,000 calls that waited for a refused connection once each would take longer by far.
        assert took < 30
        assert time.monotonic() - begun - took < 10


def test_a_full_buffer_tells_what_it_let_go_of_and_keeps_what_matters(kulti: KultiServer) -> None:
    with relay(kulti.url) as server:
        server.behaviours.extend([(503, {"Retry-After": "2"})])
        with Kulti("nex", server=server.url, max_buffered_events=50, close_timeout_s=60) as nex:
            wait_for("the first attempt", lambda: server.requests)
            for number in range(20):
                nex.think(str(number))
            for number in range(500):
                nex.output(f"{number}\n")
            session = nex.session
    events = kulti.ended(session)
    assert said(events) == [str(number) for number in range(20)]
    (loss,) = [event["data"] for event in events if event["kind"] == "error"]
    printed = [int(event["data"]["text"]) for event in events if event["kind"] == "terminal.output"]
    assert loss["code"] == "buffer_full"
    assert loss["events"] + len(printed) == 500
    assert printed == list(range(500 - len(printed), 500)), "the oldest went"
    numbers = [event["seq"] for event in events]
    missing = [number for number in range(numbers[-1]) if number not in numbers]
    assert missing == list(range(loss["first_seq"] + 1, loss["last_seq"] + 1))
    assert nex.counts == {} or nex.counts["dropped"] == loss["events"]


def test_strict_streams_raise_what_others_bear(kulti: KultiServer) -> None:
    with pytest.raises(Unreachable):
        Kulti("nex", server=GONE, strict=True, close_timeout_s=0.3)
    with relay(kulti.url) as server:
        nex = Kulti("nex", server=server.url, strict=True, close_timeout_s=0.3, max_buffered_events=10)
        server.behaviours.extend([(503, {"Retry-After": "30"})] * 9)
        with pytest.raises(BufferFull):
            for number in range(1000):
                nex.think(str(number))
        with pytest.raises(KultiError):
            for _ in range(2):
                nex.end()


def run_agent(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


AGENT = """
from kulti import stream
stream.init("leaver", session=SESSION, close_timeout_s=2)
for number in range(500):
    stream.think(str(number))
stream.output("no line end")
"""


def test_a_process_that_ends_delivers_what_it_said(kulti: KultiServer) -> None:
    session = f"leaver-{uuid.uuid4()}"
    code = AGENT.replace("SESSION", repr(session)).replace("close_timeout_s=2", "close_timeout_s=30")
    done = run_agent(code, KULTI_URL=kulti.url)
    assert (done.returncode, done.stderr) == (0, "")
    events = kulti.ended(session)
    assert said(events) == [str(number) for number in range(500)]
    assert events[-1]["data"] == {"reason": "completed"}
    assert events[-2]["data"] == {"text": "no line end"}


def test_a_process_that_dies_of_an_exception_leaves_a_failed_session(kulti: KultiServer) -> None:
    session = f"leaver-{uuid.uuid4()}"
    code = AGENT.replace("SESSION", repr(session)).replace("close_timeout_s=2", "close_timeout_s=30")
    done = run_agent(code + "raise OSError('the disk is full')", KULTI_URL=kulti.url)
    assert done.returncode == 1
    events = kulti.ended(session)
    assert events[-1]["data"]["reason"] == "failed"
    assert "the disk is full" in events[-2]["data"]["message"]


@pytest.mark.parametrize("server", ["gone", "hanging"])
def test_a_process_ends_in_time_when_the_server_does_not_answer(server: str) -> None:
    with hanging_server() as hanging:
        url = hanging if server == "hanging" else f"http://127.0.0.1:{free_port()}"
        begun = time.monotonic()
        done = run_agent(AGENT.replace("SESSION", "None"), KULTI_URL=url)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert time.monotonic() - begun < 30

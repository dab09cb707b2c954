#!/usr/bin/env python3
"""An agent that builds a small word counter in Rust, step by step, with real commands.

It has no model: what it thinks and writes is this script, the same each time. What its commands print is theirs, as it
came: the compiler's error, the failing tests, the times.

Needs Python 3.9, cargo and git. Streams to KULTI_URL (default http://127.0.0.1:8080), with KULTI_API_KEY if it is set.
"""

import argparse
import difflib
import os
import pathlib
import random
import re
import shutil
import sys
import time

import wordcount_files as files
from kulti_stream import FileSink, HttpSink, Session

FOLDER = pathlib.Path("/tmp/wordcount")
STEPS = ["Set up the crate", "First version and its tests", "Make it compile", "Make the tests pass", "A command line with colours", "Measure it", "Commit"]


class Coder:
    """The agent's hands and voice."""

    def __init__(self, session, pace):
        self.session = session
        self.pace = pace
        self.texts = {}
        self.messages = 0
        # Not for anything that matters: how fast it seems to speak.
        self.random = random.Random(7)

    def pause(self, seconds):
        time.sleep(seconds * self.pace)

    def think(self, content, kind="reasoning"):
        self.session.emit("thought", content=content, type=kind)
        self.pause(min(3.2, 0.7 + len(content) / 75))

    def say(self, text):
        """Speaks a few words at a time, as a model would stream them."""
        self.messages += 1
        message = f"message-{self.messages}"
        words = text.split(" ")
        index = 0
        while words:
            count = self.random.randint(1, 3)
            piece, words = " ".join(words[:count]), words[count:]
            self.session.emit("message.delta", message=message, index=index, text=piece + (" " if words else ""), channel="text")
            index += 1
            self.pause(self.random.uniform(0.04, 0.12))
        self.session.emit("message.completed", message=message, role="assistant", content=text)
        self.pause(0.6)

    def step(self, number):
        plan = [
            {"text": text, "state": "done" if i < number else "active" if i == number else "pending"}
            for i, text in enumerate(STEPS)
        ]
        self.session.emit("progress", title="Word counter", done=number, total=len(STEPS), plan=plan)

    def status(self, status, detail):
        self.session.emit("status.changed", status=status, detail=detail)

    def marker(self, label, level="info"):
        self.session.emit("marker", label=label, level=level)

    def write(self, path, content, language="rust"):
        call = self.session.next_call()
        self.session.emit("tool.started", call=call, name="write_file", input={"path": path})
        self.pause(0.5)
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(content, encoding="utf-8")
        self.texts[path] = content
        self.session.emit("code.changed", path=path, action="create", content=content, language=language, call=call)
        self.session.emit("tool.finished", call=call, status="ok", output=f"{len(content.splitlines())} lines")
        self.pause(1.0)

    def edit(self, path, *changes, language="rust"):
        call = self.session.next_call()
        self.session.emit("tool.started", call=call, name="edit_file", input={"path": path})
        before = after = self.texts[path]
        for old, new in changes:
            if old not in after:
                raise ValueError(f"{path} does not hold what was to be changed: {old!r}")
            after = after.replace(old, new, 1)
        (FOLDER / path).write_text(after, encoding="utf-8")
        self.texts[path] = after
        lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
        self.session.emit("code.changed", path=path, action="edit", patch="".join(lines), language=language, call=call)
        self.session.emit("tool.finished", call=call, status="ok", output=f"{len(changes)} places")
        self.pause(1.2)

    def run(self, command, fails=False):
        code, tail = self.session.run(command, str(FOLDER))
        self.pause(0.7)
        if (code != 0) != fails:
            raise RuntimeError(f"{command!r} ended with {code}")
        return tail


def work(coder):
    coder.status("starting", "an empty folder")
    coder.say("I will build a small word counter in Rust: lines, words, characters, and the words that come up most. Tests first where I can.")
    coder.step(0)
    coder.think("A library with the counting and a thin binary around it. Then the tests need no files and no process.", "decision")
    coder.status("working", "setting up the crate")
    coder.run("cargo --version && git --version")
    coder.run("cargo init --lib --name wordcount --vcs git .")
    coder.step(1)
    coder.marker("First version")
    coder.status("writing", "the library")
    coder.think("Start with the obvious version: split at spaces, len() for the characters. The tests will tell what it misses.")
    coder.write("src/lib.rs", files.LIBRARY)
    coder.write("tests/counting.rs", files.TESTS)
    coder.step(2)
    coder.status("testing", "does it compile?")
    coder.run("cargo test", fails=True)
    coder.think("E0308: sort_by hands out references to the pairs, but cmp wants a reference to the other number. The compiler even says where the & goes.", "observation")
    coder.edit("src/lib.rs", ("b.1.cmp(a.1)", "b.1.cmp(&a.1)"))
    coder.step(3)
    passed, failed = test_result(coder.run("cargo test", fails=True))
    coder.marker("Tests fail", "warning")
    coder.session.emit("error", message=f"{failed} of {passed + failed} tests fail", code="tests_failed", fatal=False)
    coder.say("It compiles, and the tests found what the first version missed. One thing at a time.")
    coder.think("split(' ') makes an empty word out of two spaces and does not see tabs or line ends. split_whitespace does both.", "reasoning")
    coder.edit("src/lib.rs", ("words: text.split(' ').count()", "words: text.split_whitespace().count()"))
    coder.run("cargo test any_whitespace")
    coder.think("len() is bytes: the é in café is two of them. chars() counts what people see, near enough; graphemes would want a dependency.", "decision")
    coder.edit("src/lib.rs", ("chars: text.len()", "chars: text.chars().count()"))
    coder.run("cargo test characters")
    coder.think("\"The\" and \"the,\" are one word to a reader. Trim what is not alphanumeric at both ends, and break ties by the alphabet, so that the order never depends on the hash map.")
    coder.edit("src/lib.rs", files.RANKING_FIX_SPLIT, files.RANKING_FIX_TIES)
    passed, _ = test_result(coder.run("cargo test"))
    coder.marker("All tests pass", "success")
    coder.say(f"All {passed} pass. Now a command line that is nice to look at.")
    coder.step(4)
    coder.status("writing", "the command line")
    coder.think("A progress bar only if standard error is a terminal, so that pipes stay clean. Bars for the ranking in 256 colours.", "decision")
    coder.write("src/main.rs", files.BINARY)
    coder.write("alice.txt", files.ALICE, language="text")
    ours = numbers(coder.run("cargo run --quiet -- alice.txt"))
    coder.think("\"the\" leads, as in most English texts. wc is a second opinion on the totals.", "evaluation")
    if ours != numbers(coder.run("wc -l -w -m alice.txt")):
        raise RuntimeError("wc counts something else")
    coder.step(5)
    coder.marker("Measuring")
    coder.status("measuring", "debug against release")
    coder.run("yes \"$(cat alice.txt)\" | head -n 440000 > big.txt && du -h big.txt")
    coder.run("cargo run --quiet -- big.txt")
    coder.think("That bar crawled: a debug build checks every step and inlines nothing. The release profile should be several times faster.", "observation")
    coder.run("cargo build --release")
    coder.run("./target/release/wordcount big.txt")
    coder.say("Same numbers, in a fraction of the time. That is good enough; I will commit it.")
    coder.step(6)
    coder.status("finishing", "commit")
    coder.write(".gitignore", "/target\n/big.txt\n", language="text")
    coder.run("git add . && git -c user.name=wren -c user.email=wren@example.org commit -q -m 'Count words, with tests' && git --no-pager show --stat --format='%C(yellow)%h%Creset %s'")
    coder.step(len(STEPS))
    coder.marker("Done", "success")
    coder.say(f"Done: a word counter with {passed} tests, committed. It agrees with wc on lines, words and characters.")
    coder.status("done", "")
    coder.session.result = f"a word counter in Rust: {passed} tests pass"


def test_result(output):
    """How many tests passed and failed, by the summaries that cargo printed."""
    summaries = re.findall(r"(\d+) passed; (\d+) failed", output)
    return sum(int(passed) for passed, _ in summaries), sum(int(failed) for _, failed in summaries)


def numbers(output):
    """The first three numbers that a command printed, colours left out."""
    return re.findall(r"\d+", re.sub(r"\x1b\[[\d;]*m", "", output))[:3]


def environment():
    """Nothing of the machine's owner gets into the recording: a plain shell and none of their settings."""
    home = os.path.expanduser("~")
    return {
        "PATH": os.environ["PATH"], "HOME": str(FOLDER.parent), "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
        "CARGO_HOME": os.environ.get("CARGO_HOME", f"{home}/.cargo"),
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{home}/.rustup"),
        "CARGO_NET_OFFLINE": "true", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
    }


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", help="write the events to this file instead of sending them")
    options.add_argument("--agent", default="wren")
    options.add_argument("--visibility", default=None, choices=["public", "unlisted", "private"])
    options.add_argument("--pace", type=float, default=1.0, help="0 leaves out the pauses for readers")
    arguments = options.parse_args()
    missing = [tool for tool in ("cargo", "git") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"this agent needs {' and '.join(missing)}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    url = os.environ.get("KULTI_URL", "http://127.0.0.1:8080")
    sink = FileSink(arguments.out) if arguments.out else HttpSink(url, os.environ.get("KULTI_API_KEY"))
    started = {"task": "Build a word counter in Rust, with tests", "agent_name": "Wren", "agent_avatar": "🐦", "tags": ["rust", "example"]}
    if arguments.visibility:
        started["visibility"] = arguments.visibility
    with Session(sink, arguments.agent, environment(), **started) as session:
        print(f"session {session.id}", flush=True)
        if not arguments.out:
            print(f"watch   {url.rstrip('/')}/s/{session.id}", file=sys.stderr)
        work(Coder(session, arguments.pace))


if __name__ == "__main__":
    main()

"""Streams a session to Kulti: events get their ids before they are sent, go out in batches, and are sent again until
the server has them. Python's standard library only.

    with Session("http://127.0.0.1:8080", agent="wren", task="Count words") as session:
        session.emit("thought", content="Where to begin?")
        session.run("cargo test", folder="/tmp/wordcount")
"""

import codecs
import datetime
import errno
import fcntl
import gzip
import json
import os
import pty
import random
import secrets
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.request

BATCH_EVENTS = 200
BATCH_WAIT_S = 0.04
CHUNK_WAIT_S = 0.015
COLUMNS, ROWS = 80, 24


class IdMaker:
    """UUIDs of version 7 that grow even within one millisecond: the server knows them as new without a look-up."""

    def __init__(self):
        self.last_ms = 0
        self.counter = 0

    def next(self):
        now_ms = time.time_ns() // 1_000_000
        if now_ms > self.last_ms:
            self.last_ms, self.counter = now_ms, 0
        else:
            self.counter += 1
            if self.counter > 0xFFF:
                self.last_ms, self.counter = self.last_ms + 1, 0
        bits = (self.last_ms << 80) | (7 << 76) | (self.counter << 64) | (2 << 62) | secrets.randbits(62)
        text = f"{bits:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Refused(Exception):
    """The server will not take this session, however often it is sent."""


class HttpSink:
    """Posts batches one after the other, so that the log has them in this order."""

    def __init__(self, url, key):
        self.address = url.rstrip("/") + "/v1/events"
        self.key = key

    def deliver(self, events):
        waiting = events
        attempt = 0
        while waiting:
            answer, wait = self.post(waiting)
            if answer is not None:
                results = answer["results"]
                for event, result in zip(waiting, results):
                    if result["status"] == "rejected":
                        print(f"rejected {event['kind']}: {result.get('detail')}", file=sys.stderr)
                    if result.get("warning"):
                        print(f"{event['kind']}: {result['warning']}", file=sys.stderr)
                again = next((i for i, result in enumerate(results) if result["status"] == "retry"), len(results))
                # Everything from the first that failed goes again: ids make copies harmless, and the order stays.
                waiting = waiting[again:]
            if waiting:
                attempt += 1
                time.sleep(wait if wait is not None else random.uniform(0.5, 1.0) * min(10.0, 0.2 * 2**attempt))

    def post(self, events):
        lines = "".join(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n" for event in events)
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.address, gzip.compress(lines.encode(), 3), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response), None
        except urllib.error.HTTPError as error:
            body = error.read()
            if error.code in (429, 500, 502, 503, 504):
                seconds = error.headers.get("Retry-After", "")
                return None, float(seconds) if seconds.isdigit() else None
            if error.code == 422 and len(events) == 1:
                return {"results": [{"status": "rejected", "detail": body.decode(errors="replace")}]}, None
            raise Refused(f"{self.address} answered {error.code}: {body.decode(errors='replace')}") from error
        except OSError:
            return None, None


class FileSink:
    """Writes events as readers get them, to try an agent without a server."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.position = 0

    def deliver(self, events):
        for event in events:
            self.position += 1
            row = {"position": self.position, "received": timestamp(), "source": "agent", **event}
            self.file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        self.file.flush()


def timestamp():
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Session:
    """One session of an agent. Leaving the `with` block ends it and waits until everything is delivered."""

    def __init__(self, sink, agent, environment=None, **started):
        self.sink = sink
        self.agent = agent
        self.environment = environment or {}
        self.ids = IdMaker()
        self.id = self.ids.next()
        self.calls = 0
        self.pending = []
        self.changed = threading.Condition()
        self.closed = False
        self.failure = None
        self.sender = threading.Thread(target=self.send_batches, daemon=True)
        self.sender.start()
        self.emit("session.started", **started)
        self.emit("terminal.resized", cols=COLUMNS, rows=ROWS)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.emit("session.ended", reason="completed", result=getattr(self, "result", None) or "done")
        elif kind is KeyboardInterrupt:
            self.emit("session.ended", reason="cancelled")
        else:
            self.emit("error", message=f"{kind.__name__}: {error}", fatal=True)
            self.emit("session.ended", reason="failed")
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.sender.join()
        if self.failure and kind is None:
            raise self.failure

    def emit(self, kind, **data):
        """Puts an event into the stream and returns its id."""
        event = {"id": self.ids.next(), "session": self.id, "agent": self.agent, "time": timestamp(), "kind": kind, "data": data}
        with self.changed:
            if self.failure and not self.closed:
                self.closed = True
                raise self.failure
            self.pending.append(event)
            self.changed.notify()
        return event["id"]

    def send_batches(self):
        while True:
            with self.changed:
                while not self.pending and not self.closed:
                    self.changed.wait()
                if not self.pending:
                    return
            time.sleep(BATCH_WAIT_S)
            with self.changed:
                batch, self.pending = self.pending[:BATCH_EVENTS], self.pending[BATCH_EVENTS:]
            try:
                self.sink.deliver(batch)
            except Exception as error:  # the agent hears of it at its next event
                self.failure = error
                return

    def next_call(self):
        self.calls += 1
        return f"call-{self.calls}"

    def run(self, command, folder, tool="shell"):
        """Runs a command under a pseudo-terminal and streams its output as it comes. Answers its exit code."""
        call = self.next_call()
        self.emit("tool.started", call=call, name=tool, input={"command": command})
        self.emit("terminal.command", command=command, cwd=folder, call=call)
        begun = time.monotonic()
        code, tail = self.stream_output(command, folder)
        self.emit("terminal.exited", code=code)
        taken = round((time.monotonic() - begun) * 1000)
        status = "ok" if code == 0 else "error"
        self.emit("tool.finished", call=call, status=status, output={"exit_code": code}, duration_ms=taken)
        return code, tail

    def stream_output(self, command, folder):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        tail = ""
        try:
            while chunk := read_chunk(ours):
                text = decoder.decode(chunk)
                tail = (tail + text)[-20_000:]
                if text:
                    self.emit("terminal.output", text=text, stream="pty")
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            os.close(ours)
            code = process.wait()
        return code, tail


def read_chunk(descriptor):
    """What the terminal shows until it pauses for a moment; empty at the end."""
    chunk = b""
    while len(chunk) < 16_384:
        wait = CHUNK_WAIT_S if chunk else None
        if not select.select([descriptor], [], [], wait)[0]:
            break
        try:
            part = os.read(descriptor, 16_384)
        except OSError as error:
            # Linux says so when the last program with this terminal is gone.
            if error.errno == errno.EIO:
                break
            raise
        if not part:
            break
        chunk += part
    return chunk

#!/usr/bin/env python3
"""Counts the lines of a folder's files and writes a report, while people watch.

pip install ./sdk/python && examples/agent.py [FOLDER]
"""

import subprocess
import sys
from pathlib import Path

from kulti import Kulti

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

with Kulti("counter-py", task=f"Count the lines in {folder.name}", visibility="public") as stream:
    print(stream.session_url)
    stream.think("First see what is there.", type="reasoning")
    stream.command("ls -l", cwd=str(folder))
    process = subprocess.Popen(["ls", "-l"], cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout
    for line in process.stdout:
        stream.output(line)
    stream.exited(process.wait())

    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = {}
    for done, path in enumerate(files, 1):
        with stream.tool("count", {"file": path.name}) as call:
            call.output = lines[path.name] = path.read_bytes().count(b"\n")
        stream.progress("counting", done, len(files))

    stream.marker("all counted")
    stream.code("report.md", "".join(f"- {name}: {count}\n" for name, count in lines.items()))
    stream.message(f"{len(files)} files have {sum(lines.values())} lines.")

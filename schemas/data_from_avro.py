#!/usr/bin/env python3
"""Turns records as kcat prints them back into the events' `data`, one JSON object a line.

kcat -b BROKERS -t kulti.session-events -C -e -s value=avro -r KULTI_URL | ./data_from_avro.py
"""
import base64
import json
import sys


def data_from_avro(record):
    """`data` of one record in Avro's JSON encoding (a union is {"type": value}, bytes are Latin-1)."""
    data = {}
    for name, value in record.items():
        if name in ("meta", "extra", "raw") or value is None:
            continue
        branch, value = next(iter(value.items())) if isinstance(value, dict) else (None, value)
        if branch == "bytes":
            raw = value.encode("latin-1")
            try:
                value = base64.b64encode(raw).decode() if name == "base64" else raw.decode()
            except UnicodeDecodeError:
                name, value = "base64", base64.b64encode(raw).decode()
        if name.endswith("_json"):
            name, value = name[: -len("_json")], json.loads(value)
        data[name] = value
    data.update((name, json.loads(text)) for name, text in record["extra"].items())
    return data


if __name__ == "__main__":
    for line in sys.stdin:
        record = json.loads(line)
        data = data_from_avro(record.get("payload", record))  # kcat -J wraps the record in an envelope
        print(json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")))

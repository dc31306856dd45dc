"""The log line that the stripped programs write for each call."""

import sys
import time

import msgspec


class Line:
    def __init__(self) -> None:
        self._began = time.perf_counter()

    def write(self, **fields: str) -> None:
        took = round((time.perf_counter() - self._began) * 1000, 2)
        log = sys.stderr.buffer
        log.write(msgspec.json.encode({**fields, "duration_ms": took}) + b"\n")
        log.flush()

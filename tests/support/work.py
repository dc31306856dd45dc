"""Work that tests run in worker processes."""

import os
import resource
import sys
import time
from pathlib import Path

from service_kit.errors import InvalidFields
from workflow_service.flow import digests_of


def process_id() -> int:
    return os.getpid()


def niceness() -> int:
    return os.nice(0)


def compute(seconds: float) -> int:
    """Use so much CPU time. Returns the process id."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return os.getpid()


def fill(size: int) -> int:
    """Allocate so many bytes of memory."""
    return len(bytearray(b"x") * size)


def sleep_until(path: str) -> int:
    """Wait until a file exists."""
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()


def refuse(field: str) -> None:
    raise InvalidFields({field: "must be another"})


def fail() -> None:
    raise KeyError("no such thing")


def check_and_look(flow: bytes) -> tuple[list[str], int]:
    """The libraries that the worker has loaded to check a flow, and its resident memory in MB."""
    digests_of(flow, b"{}", 1 << 20)
    found = [name for name in ("grpc", "google.protobuf", "asyncpg", "aiohttp", "pydantic") if name in sys.modules]
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return found, resident_pages * resource.getpagesize() >> 20


def echo(text: bytes) -> bytes:
    sys.stdout.write("not an answer\n")
    return text

"""Zygotes (processes that have imported a runtime's SDK), their messages, and the identity of the imported folder."""

import os
import signal
from pathlib import Path
from typing import TypeAlias

import msgspec

from run_service.hosting.channel import Channel

Identity: TypeAlias = tuple[int, int, int, int]
"""Identifies a runtime's folder, so that a later folder of the same name is recognized as another."""


class Said(msgspec.Struct):
    """A message from a zygote or a replica."""

    type: str
    pid: int = 0
    digest: str = ""
    reason: str = ""
    message: str = ""


decoder = msgspec.json.Decoder(Said)


class Zygote:
    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def identity_of(runtime: Path) -> Identity | None:
    """None when the runtime is not installed."""
    try:
        folder, python = runtime.stat(), (runtime / "bin" / "python").lstat()
    except OSError:
        return None
    return folder.st_dev, folder.st_ino, python.st_ino, python.st_ctime_ns

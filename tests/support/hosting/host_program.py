"""The host process alone, as `python -m run_service host` runs it: host_program.py SOCKET FOLDER [SETTING=VALUE …]."""

import asyncio
import sys
from pathlib import Path

from run_service.hosting.running import run_host
from run_service.hosting.settings import HostSettings
from service_kit import logs


def number(text: str) -> float | int | Path:
    """The value of a setting: a path if the text contains a slash, otherwise a number."""
    if "/" in text:
        return Path(text)
    return float(text) if "." in text else int(text)


if __name__ == "__main__":
    socket, folder, *more = sys.argv[1:]
    logs.configure("host")
    values = {name: number(value) for name, value in (item.split("=") for item in more)}
    asyncio.run(run_host(HostSettings(socket=Path(socket), folder=Path(folder), **values)))

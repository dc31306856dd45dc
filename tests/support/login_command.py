"""`flowpin login` as a process, whose link the test opens."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.commands import Commands, Ran
from tests.support.paths import ROOT
from tests.support.stack import Stack

LINK_SECONDS = 30


def person_at(stack: Stack, folder: Path, issuer: str, client: str) -> Commands:
    """Commands without FLOWPIN_TOKEN and with their own config folder."""
    environ = {
        "FLOWPIN_URL": f"http://127.0.0.1:{stack.gateway_port}",
        "FLOWPIN_PROJECT": "one",
        "FLOWPIN_ISSUER": issuer,
        "FLOWPIN_CLIENT_ID": client,
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    return Commands(folder, environ)


async def login(commands: Commands, visit: Callable[[str], Awaitable[Any]], *words: str) -> Ran:
    """Run it, and `visit` the link that it prints."""
    return await _run(commands, visit, 1, "--no-browser", *words)


async def login_on_device(commands: Commands, visit: Callable[[str, str], Awaitable[Any]], *words: str) -> Ran:
    """The same with a code for another device. `visit` gets the page's URL and the code."""
    return await _run(commands, visit, 2, "--device", *words)


async def _run(commands: Commands, visit: Callable[..., Awaitable[Any]], lines: int, *words: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "flowpin_cli", "login", "--wait", "30", *words),
        cwd=commands.folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **commands.environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = [(await asyncio.wait_for(process.stdout.readline(), LINK_SECONDS)).decode() for _ in range(lines)]
        if all(said):
            await visit(*(line.strip() for line in said))
        out, error = await asyncio.wait_for(process.communicate(), LINK_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ran(process.returncode or 0, "".join(said) + out.decode(), error.decode())


def logins_file(commands: Commands) -> Path:
    return Path(commands.environ["XDG_CONFIG_HOME"]) / "flowpin" / "logins.json"


def kept_login(commands: Commands) -> Any:
    """The one login in the file."""
    [row] = json.loads(logins_file(commands).read_text()).values()
    return row


def change_login(commands: Commands, **changes: Any) -> None:
    """Change the only login in the file, for example to an expired one."""
    rows = json.loads(logins_file(commands).read_text())
    logins_file(commands).write_text(json.dumps({url: row | changes for url, row in rows.items()}))

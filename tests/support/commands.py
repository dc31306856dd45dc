"""Runs `flowpin …` as a process, against the stack of a test."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.stack import Stack


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, without its header."""
        return [line.split() for line in self.out.splitlines()[1:]]


@dataclass(frozen=True)
class Commands:
    """Runs commands in an empty folder with one token's environment."""

    folder: Path
    environ: dict[str, str]

    async def __call__(self, *words: str, stdin: str = "", **environ: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flowpin_cli", *words),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.environ, **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate(stdin.encode())
        return Ran(process.returncode or 0, out.decode(), error.decode())

    async def done(self, *words: str, **options: Any) -> Ran:
        """Run a command that must succeed."""
        ran = await self(*words, **options)
        assert ran.code == 0, (words, ran.out, ran.error)
        return ran


def commands_of(stack: Stack, folder: Path, token: str = "admin") -> Commands:
    environ = {
        "FLOWPIN_URL": f"http://127.0.0.1:{stack.gateway_port}",
        "FLOWPIN_TOKEN": stack.people.secret(token),
        "FLOWPIN_PROJECT": "one",
    }
    return Commands(folder, environ)

"""Runs `pg_dump`."""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.processes import printable
from flowpin_cli.postgres.install import client_programs

CHUNK = 1 << 20
LOCK_SECONDS = 30


@dataclass(frozen=True)
class PgTools:
    """The programs in a folder, for one database, and their environment."""

    programs: Path
    url: str
    environ: Mapping[str, str]

    @classmethod
    def here(cls, url: str, environ: Mapping[str, str]) -> "PgTools":
        """The tools of the embedded Postgres, which also work with other servers from version 15 on."""
        return cls(client_programs(), url, environ)

    async def dump(self, schemas: Iterable[str], snapshot: str) -> AsyncIterator[bytes]:
        """Dump the schemas with all content as of an exported snapshot, in pg_dump's custom format."""
        words = [
            "--format=custom",
            "--compress=gzip:1",
            "--no-statistics",
            "--encoding=UTF8",
            "--strict-names",
            f"--lock-wait-timeout={LOCK_SECONDS}s",
            f"--snapshot={snapshot}",
            *(f"--schema={schema}" for schema in schemas),
        ]
        with tempfile.TemporaryFile() as errors:
            async with self._running("pg_dump", *self._target(), *words, stdout=PIPE, stderr=errors) as process:
                async for chunk in _chunks(process):
                    yield chunk
                check_exit("pg_dump", await process.wait(), errors)

    def _target(self) -> list[str]:
        return [f"--dbname={split_password(self.url)[0]}", "--no-password"]

    @asynccontextmanager
    async def _running(self, program: str, *words: str, stdout: int, stderr: IO[bytes]) -> AsyncIterator[Process]:
        # The password is in the environment, because every user can read a command line.
        _, password = split_password(self.url)
        env = {**self.environ, **({"PGPASSWORD": password} if password else {})}
        process = await asyncio.create_subprocess_exec(
            self.programs / program, *words, env=env, stdin=DEVNULL, stdout=stdout, stderr=stderr, limit=CHUNK
        )
        try:
            yield process
        finally:
            await end(process)


def split_password(url: str) -> tuple[str, str | None]:
    """A database URL without its password, and the password."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    in_query = query.pop("password", None)
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{host}" if user else host
    in_netloc = unquote(parts.password) if parts.password else None
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="/:"))), in_netloc or in_query


async def _chunks(process: Process) -> AsyncIterator[bytes]:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    while chunk := await process.stdout.read(CHUNK):
        yield chunk


async def end(process: Process) -> None:
    """End the process if it has not ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            # Not process.kill(), because asyncio 3.11 warns on stderr if the process has already ended.
            os.kill(process.pid, signal.SIGKILL)
    await process.communicate()  # reads the rest, because asyncio closes pipes only at their end


def check_exit(program: str, code: int, errors: IO[bytes]) -> None:
    """Raises CannotRun with the program's message unless it succeeded."""
    if code:
        errors.seek(0)
        # Only the first line: later lines may contain values of a row.
        said = errors.readline(1_000).decode(errors="replace").strip()
        raise CannotRun(f"{program} ended with exit code {code}: {printable(said)}")

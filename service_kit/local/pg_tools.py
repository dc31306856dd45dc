"""Postgres' own programs at work: what `pg_dump` writes, and reading that back in one transaction."""

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from service_kit.local.errors import CannotRun
from service_kit.local.postgres_install import client_programs

CHUNK = 1 << 20
LOCK_SECONDS = 30
UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"


@dataclass(frozen=True)
class PgTools:
    """The programs in a folder, for one database, with the environment they are given."""

    programs: Path
    url: str
    environ: Mapping[str, str]

    @classmethod
    def here(cls, url: str, environ: Mapping[str, str]) -> "PgTools":
        """Those of the embedded Postgres, which also read and write the servers of others, 15 and newer."""
        return cls(client_programs(), url, environ)

    async def dump(self, schemas: Iterable[str], snapshot: str) -> AsyncIterator[bytes]:
        """The schemas and all that is in them as of an exported snapshot, in pg_dump's custom format."""
        words = [
            "--format=custom",
            "--compress=gzip:1",
            "--no-statistics",
            "--strict-names",
            f"--lock-wait-timeout={LOCK_SECONDS}s",
            f"--snapshot={snapshot}",
            *(f"--schema={schema}" for schema in schemas),
        ]
        with tempfile.TemporaryFile() as errors:
            async with self._running("pg_dump", *self._target(), *words, stdout=PIPE, stderr=errors) as process:
                async for chunk in _chunks(process):
                    yield chunk
                _check("pg_dump", await process.wait(), errors)

    async def load(self, dump: Iterator[bytes], schemas: Iterable[str], server_major: int) -> None:
        """Fill the schemas, which are there and empty, with what a dump has in them: with all of it or with nothing.

        pg_restore writes SQL and psql runs it: by itself, pg_restore 18 stops at a server older than 17, whose
        parameters it does not know. It leaves the schemas themselves, and who may use them, as they are.
        """
        words = ["--file=-", *(f"--schema={schema}" for schema in schemas)]
        psql_words = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        with tempfile.TemporaryFile() as restore_errors, tempfile.TemporaryFile() as psql_errors:
            async with (
                self._running("pg_restore", *words, stdin=PIPE, stdout=PIPE, stderr=restore_errors) as restore,
                self._running(
                    "psql", *self._target(), *psql_words, stdin=PIPE, stdout=DEVNULL, stderr=psql_errors
                ) as psql,
            ):
                feeding = asyncio.create_task(_feed(restore, dump))
                try:
                    await _write(psql, b"BEGIN;\n")
                    async for chunk in _chunks(restore):
                        if server_major < 17:
                            chunk = chunk.replace(UNKNOWN_BEFORE_17, b"", 1)
                        if not await _write(psql, chunk):
                            break
                    else:
                        await feeding
                        _check("pg_restore", await restore.wait(), restore_errors)
                        await _write(psql, b"COMMIT;\n")  # without it, the end of the input is the end of all it did
                    _close(psql)
                    _check("psql", await psql.wait(), psql_errors)
                finally:
                    feeding.cancel()

    def _target(self) -> list[str]:
        return [f"--dbname={split_password(self.url)[0]}", "--no-password"]

    @asynccontextmanager
    async def _running(
        self, program: str, *words: str, stderr: IO[bytes], stdin: int = DEVNULL, stdout: int
    ) -> AsyncIterator[Process]:
        # The password goes into the environment: anybody can read a command line.
        _, password = split_password(self.url)
        env = {**self.environ, **({"PGPASSWORD": password} if password else {})}
        process = await asyncio.create_subprocess_exec(
            self.programs / program, *words, env=env, stdin=stdin, stdout=stdout, stderr=stderr, limit=CHUNK
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


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


async def _feed(process: Process, chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        if not await _write(process, chunk):
            break
    _close(process)


async def _write(process: Process, chunk: bytes) -> bool:
    """False when the process reads no more; its exit code says why."""
    assert process.stdin is not None  # noqa: S101 - it was started with a pipe
    try:
        process.stdin.write(chunk)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _close(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _check(program: str, code: int, errors: IO[bytes]) -> None:
    if code:
        errors.seek(0)
        # The first line alone: those after it may show what is in a row.
        said = errors.readline().decode(errors="replace").strip()
        raise CannotRun(f"{program} ended with exit code {code}: {said}")

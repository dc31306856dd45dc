"""Reads names and rows from a dump of pg_dump, which may be forged. Its SQL is never run."""

import asyncio
import os
import re
import resource
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.processes import printable
from flowpin_cli.postgres.dump import CHUNK, check_exit, end
from flowpin_cli.postgres.install import programs_for, unprivileged_account
from flowpin_cli.postgres.schemas import Schema

MOST_ENTRIES_BYTES = 1 << 20  # the list of a normal backup has 12 kB
MEMORY_BYTES = 1 << 30
SHOWN = 3
LISTED = re.compile(r"(?P<id>\d+); \d+ \d+ (?P<what>.*) \S*")
COPY = re.compile(rb'COPY (\w+)\.(\w+) \(([\w", ]+)\) FROM stdin;\n')
ENCODING = b"SET client_encoding = "


@dataclass(frozen=True)
class Entry:
    """A line of an archive's table of contents."""

    number: str
    what: str
    """A description such as `TABLE DATA workflow versions`."""


async def list_entries(dump: Iterator[bytes]) -> list[Entry]:
    """The table of contents. Raises CannotRun if it is invalid or too long."""
    with tempfile.TemporaryFile() as errors:
        async with _pg_restore("--list", stdin=PIPE, stderr=errors) as process:
            feeding = asyncio.create_task(_feed(process, dump))
            try:
                text = await _read(process, MOST_ENTRIES_BYTES)
                check_exit("pg_restore", await process.wait(), errors)
            finally:
                await end(process)
                await asyncio.gather(feeding, return_exceptions=True)  # it ends, because its pipe is closed
    lines = [line for line in text.decode(errors="replace").splitlines() if line and not line.startswith(";")]
    return [
        Entry(found["id"], found["what"]) if (found := LISTED.fullmatch(line)) else Entry("", line) for line in lines
    ]


def unknown_entries(entries: Collection[Entry], schemas: Sequence[Schema]) -> str:
    """Objects that no migration creates, as text. Empty without any."""
    known = [schema.archive_entries for schema in schemas]
    unknown = [printable(e.what) for e in entries if not any(pattern.fullmatch(e.what) for pattern in known)]
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return ", ".join(what[:100] for what in unknown[:SHOWN]) + more


@dataclass(frozen=True)
class Rows:
    """The rows of one table, in the format of COPY. They must be read completely before those of the next table."""

    schema: str
    table: str
    columns: Sequence[str]
    chunks: AsyncIterator[bytes]


async def read_rows(archive: IO[bytes], entries: Sequence[Entry]) -> AsyncIterator[Rows]:
    """The rows of these entries, in order. `archive` is a file that nobody else can change."""
    archive.seek(0)
    wanted = os.memfd_create("entries")
    try:
        os.write(wanted, "".join(f"{entry.number};\n" for entry in entries).encode())
        with tempfile.TemporaryFile() as errors:
            words = ["--data-only", "--file=-", f"--use-list=/proc/self/fd/{wanted}"]
            async with _pg_restore(*words, stdin=archive.fileno(), stderr=errors, pass_fds=(wanted,)) as process:
                script = _Script(process)
                while line := await script.line():
                    if line.startswith(ENCODING) and line != ENCODING + b"'UTF8';\n":
                        raise CannotRun("the backup is of a database whose encoding is not UTF8")
                    # Everything else in the script is ignored and never run.
                    if found := COPY.fullmatch(line):
                        schema, table, columns = (part.decode() for part in found.groups())
                        yield Rows(schema, table, columns.replace('"', "").split(", "), script.rows())
                check_exit("pg_restore", await process.wait(), errors)
    finally:
        os.close(wanted)


class _Script:
    r"""The output of pg_restore: lines, and after a COPY the rows up to a line `\.`."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        self._stdout = process.stdout
        self._unread = b""

    async def line(self) -> bytes:
        """The next line with its end; empty at the end of the script."""
        while b"\n" not in self._unread:
            if len(self._unread) > CHUNK:
                raise CannotRun("the backup's dump is not as pg_dump writes it: a line has no end")
            chunk = await self._stdout.read(CHUNK)
            if not chunk:
                break
            self._unread += chunk
        line, end, self._unread = self._unread.partition(b"\n")
        return line + end

    async def rows(self) -> AsyncIterator[bytes]:
        unread, self._unread = b"\n" + self._unread, b""
        extra = 1
        while (end := unread.find(b"\n\\.\n")) < 0:
            done, unread = unread[:-3], unread[-3:]  # keep bytes that may be the start of the end mark
            yield done[extra:]
            extra = max(0, extra - len(done))
            chunk = await self._stdout.read(CHUNK)
            if not chunk:
                raise CannotRun("the backup's dump is not as pg_dump writes it: rows have no end")
            unread += chunk
        self._unread = unread[end + 4 :]
        yield unread[extra : end + 1]


@asynccontextmanager
async def _pg_restore(
    *words: str, stdin: int, stderr: IO[bytes], pass_fds: Sequence[int] = ()
) -> AsyncIterator[Process]:
    """Run pg_restore. Its input may be forged, so it never runs as root, and has limited memory and no connection."""
    account = unprivileged_account()
    process = await asyncio.create_subprocess_exec(
        programs_for(account) / "pg_restore",
        "--format=custom",
        *words,
        env={},
        cwd="/",
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        pass_fds=pass_fds,
        limit=CHUNK,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
        user=None if account.is_mine else account.uid,
        group=None if account.is_mine else account.gid,
        extra_groups=None if account.is_mine else [],
    )
    try:
        yield process
    finally:
        await end(process)


async def _feed(process: Process, chunks: Iterator[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was started with a pipe
    with suppress(BrokenPipeError, ConnectionResetError):  # it reads only the beginning
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
                await process.stdin.drain()
        finally:
            process.stdin.close()
            await process.stdin.wait_closed()


async def _read(process: Process, most: int) -> bytes:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    text = b""
    while chunk := await process.stdout.read(CHUNK):
        text += chunk
        if len(text) > most:
            raise CannotRun("the backup's dump has a table of contents that is too long")
    return text

"""A database for the peer, on the same Postgres server as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.load.bench.context import Bench, Drive
from tests.load.bench.database import execute, value
from tests.load.bench.result import Load, Unmeasurable


@contextmanager
def database(bench: Bench, name: str) -> Iterator[str]:
    """Create an empty database until the block ends. Yields its URL."""
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    execute(bench.stack.admin_url, drop, f"CREATE DATABASE {name}")
    try:
        yield bench.stack.role_url("postgres", name)
    finally:
        execute(bench.stack.admin_url, drop)


def adding_rows(drive: Drive, url: str, table: str) -> Load:
    """Drive requests that create rows, and count the rows. Raises Unmeasurable with fewer new rows than answers."""
    before = _count(url, table)
    load = drive()
    added = _count(url, table) - before
    if added < load.count:
        raise Unmeasurable(f"{load.count} creations were answered, {added} rows were added to {table}")
    return load


def _count(url: str, table: str) -> int:
    return int(value(url, f"SELECT count(*) FROM {table}"))

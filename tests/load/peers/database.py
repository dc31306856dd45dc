"""A database of the peer's own, on the Postgres server that ours are on."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.load.bench.context import Bench, Drive
from tests.load.bench.database import execute, value
from tests.load.bench.result import Load, Unmeasurable


@contextmanager
def database(bench: Bench, name: str) -> Iterator[str]:
    """An empty one until the block ends; its URL."""
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    execute(bench.stack.admin_url, drop, f"CREATE DATABASE {name}")
    try:
        yield bench.stack.role_url("postgres", name)
    finally:
        execute(bench.stack.admin_url, drop)


def adding_rows(drive: Drive, url: str, table: str) -> Load:
    """Drive what creates, and count. Raises Unmeasurable when there are fewer new rows than answers."""
    before = _count(url, table)
    load = drive()
    added = _count(url, table) - before
    if added < load.count:
        raise Unmeasurable(f"{load.count} creations were answered, {added} rows were added to {table}")
    return load


def _count(url: str, table: str) -> int:
    return int(value(url, f"SELECT count(*) FROM {table}"))

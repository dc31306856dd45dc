"""Checks of the data folder: its readers, free disk space, logs, and left-over files."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import UNFINISHED_RESTORE, DataFolder
from flowpin_cli.postgres.cluster import data_version
from flowpin_cli.postgres.install import check_version, client_programs
from flowpin_cli.postgres.socket_folder import stale_folders
from flowpin_cli.up.apps import ACCESS_KEY_FILE, OFFLINE_KEY_FILE, VARIABLE_KEY_FILE
from flowpin_cli.up.identity import DEPLOY_TOKEN_FILE, RUN_TOKEN_FILE

SECRET_FILES = (
    *("env", DEPLOY_TOKEN_FILE, RUN_TOKEN_FILE, "database-passwords.json"),
    *(ACCESS_KEY_FILE, OFFLINE_KEY_FILE, VARIABLE_KEY_FILE),
)
PRIVATE_FILES = ("access.yaml", "logs", "postgres")
LEFTOVERS = ("postgres.unfinished", UNFINISHED_RESTORE)
LEAST_BYTES, FEW_BYTES = 256 << 20, 2 << 30
LEAST_INODES, FEW_INODES = 1_000, 20_000
MANY_LOG_BYTES = 1 << 30


def examine(folder: DataFolder, is_held: bool) -> Iterator[Finding]:
    if not folder.path.is_dir():
        yield unchecked(f"There is no data folder {folder.path} yet", "flowpin up")
        return
    yield from _modes(folder)
    yield from _room(folder.path)
    yield from _logs(folder)
    yield from _postgres_files(folder)
    if not is_held:
        for name in LEFTOVERS:
            if (folder.path / name).exists():
                yield warning(
                    f"{folder.path / name} was left by an interrupted start or restore",
                    f"rm -r {_quoted(folder.path / name)}",
                )
    yield from _sockets()


def _modes(folder: DataFolder) -> Iterator[Finding]:
    open_secrets = [path for name in SECRET_FILES if _is_open(path := folder.path / name)]
    open_others = [path for name in PRIVATE_FILES if _is_open(path := folder.path / name)]
    for path in open_secrets:
        yield problem(
            f"{path} contains a secret and can be read by others",
            f"chmod 600 {_quoted(path)}; if others have read it, revoke its token: flowpin token revoke",
        )
    for path in (folder.path, *open_others):
        if _is_open(path):
            yield warning(f"Others may look into {path}", f"chmod go= {_quoted(path)}")
    if not open_secrets and not open_others and not _is_open(folder.path):
        yield ok(f"{folder.path} is private to its owner, including secrets")


def _is_open(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077 != 0


def _room(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    said = f"{free / 1e9:.1f} GB are free on the disk of {path}"
    do = "free some space: when the disk is full, nothing can be saved"
    if free < LEAST_BYTES:
        yield problem(f"Only {said}", do)
    elif free < FEW_BYTES:
        yield warning(f"Only {said}", do)
    else:
        yield ok(said)
    status = os.statvfs(path)
    if status.f_files and status.f_favail < FEW_INODES:  # some file systems do not report the number
        kind = problem if status.f_favail < LEAST_INODES else warning
        yield kind(f"Only {status.f_favail} files more can be made on the disk of {path}", "remove files (df -i)")


def _logs(folder: DataFolder) -> Iterator[Finding]:
    sizes = {path: path.lstat().st_size for path in (folder.path / "logs").glob("*")}
    total = sum(sizes.values())
    if total > MANY_LOG_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        yield warning(
            f"The logs take {total / 1e9:.1f} GB, {largest} most of it",
            "remove those with a number, which are full ones and those of earlier runs",
        )
    else:
        yield ok(f"The logs take {total / 1e6:.1f} MB")


def _postgres_files(folder: DataFolder) -> Iterator[Finding]:
    try:
        version = data_version(folder)
        if version is None:
            yield unchecked("There is no embedded Postgres here", "flowpin up, unless you use your own database")
            return
        check_version(client_programs(), version)
    except CannotRun as error:
        yield problem(
            str(error)[0].upper() + str(error)[1:], "back up with the Flowpin that wrote it, restore with this one"
        )
    else:
        yield ok(f"The data was written by Postgres {version}, which is what is installed")


def _sockets() -> Iterator[Finding]:
    if stale := stale_folders():
        names = " ".join(map(_quoted, stale))
        yield warning(f"{len(stale)} socket folders of runs that crashed are left", f"rm -r {names}")


def _quoted(path: Path) -> str:
    """The path quoted for a shell."""
    return shlex.quote(str(path))

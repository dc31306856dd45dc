"""Whether the data folder is in order: who can read it, room on its disk, its logs, what was left behind."""

import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from service_kit.local.data_folder import DataFolder
from service_kit.local.doctor.finding import Finding, ok, problem, unchecked, warning
from service_kit.local.errors import CannotRun
from service_kit.local.identity import DEPLOY_TOKEN_FILE
from service_kit.local.postgres import SOCKET_PORT, SOCKETS
from service_kit.local.postgres_install import check_version, client_programs
from service_kit.local.running import UNFINISHED_RESTORE

SECRET_FILES = ("env", DEPLOY_TOKEN_FILE, "database-passwords.json")
PRIVATE_FILES = ("access.yaml", "logs", "postgres")
LEFTOVERS = ("postgres.unfinished", UNFINISHED_RESTORE)
LEAST_BYTES, FEW_BYTES = 256 << 20, 2 << 30
LEAST_INODES, FEW_INODES = 1_000, 20_000
MANY_LOG_BYTES = 1 << 30
YOUNG_SECONDS = 60.0


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
                    f"{folder.path / name} was left by a start or a restore cut short", f"rm -r {folder.path / name}"
                )
    yield from _sockets(folder if is_held else None)


def _modes(folder: DataFolder) -> Iterator[Finding]:
    open_secrets = [path for name in SECRET_FILES if _is_open(path := folder.path / name)]
    open_others = [path for name in PRIVATE_FILES if _is_open(path := folder.path / name)]
    for path in open_secrets:
        yield problem(
            f"{path} holds a secret, and others may read it",
            f"chmod 600 {path}; if others have been there, end its token: flowpin token revoke",
        )
    for path in (folder.path, *open_others):
        if _is_open(path):
            yield warning(f"Others may look into {path}", f"chmod go= {path}")
    if not open_secrets and not open_others and not _is_open(folder.path):
        yield ok(f"{folder.path} is its owner's alone, secrets included")


def _is_open(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077 != 0


def _room(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    said = f"{free / 1e9:.1f} GB are free on the disk of {path}"
    do = "make room: when the disk is full, nothing can be saved"
    if free < LEAST_BYTES:
        yield problem(f"Only {said}", do)
    elif free < FEW_BYTES:
        yield warning(f"Only {said}", do)
    else:
        yield ok(said)
    status = os.statvfs(path)
    if status.f_files and status.f_favail < FEW_INODES:  # some file systems have no such number
        kind = problem if status.f_favail < LEAST_INODES else warning
        yield kind(f"Only {status.f_favail} files more can be made on the disk of {path}", "remove files (df -i)")


def _logs(folder: DataFolder) -> Iterator[Finding]:
    sizes = {path: path.stat().st_size for path in (folder.path / "logs").glob("*")}
    total = sum(sizes.values())
    if total > MANY_LOG_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        yield warning(
            f"The logs take {total / 1e9:.1f} GB, {largest} most of it",
            "restart `flowpin up`, which keeps the last run's and no older ones; *_LOG_LEVEL=warning logs less",
        )
    else:
        yield ok(f"The logs take {total / 1e6:.1f} MB")


def _postgres_files(folder: DataFolder) -> Iterator[Finding]:
    version_file = folder.postgres / "PG_VERSION"
    try:
        version = version_file.read_text().strip()
        check_version(client_programs(), version)
    except FileNotFoundError:
        yield unchecked("There is no embedded Postgres here", "flowpin up, unless the database is one of yours")
    except PermissionError:
        yield unchecked(f"{version_file} cannot be read", "run flowpin doctor as the user that runs flowpin up")
    except CannotRun as error:
        yield problem(
            str(error)[0].upper() + str(error)[1:], "back up with the Flowpin that wrote it, restore with this one"
        )
    else:
        yield ok(f"The data was written by Postgres {version}, which is what is installed")


def _sockets(running: DataFolder | None) -> Iterator[Finding]:
    in_use = running.secret("socket") if running else None
    stale = [path for path in SOCKETS.glob("flowpin-*") if str(path) != in_use and _is_stale(path)]
    if stale:
        names = " ".join(map(str, sorted(stale)))
        yield warning(f"{len(stale)} socket folders of runs that crashed are left", f"rm -r {names}")


def _is_stale(folder: Path) -> bool:
    """Whether no Postgres answers there; one that is being started is young."""
    try:
        if (
            folder.is_symlink()
            or time.time() - folder.stat().st_mtime < YOUNG_SECONDS
            or not os.access(folder, os.X_OK)
        ):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(folder / f".s.PGSQL.{SOCKET_PORT}"))
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except OSError:
        return False
    return False

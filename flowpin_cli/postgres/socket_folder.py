"""Folders for sockets, created where other users may create folders too, and recognized as our own."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.machine.ownership import postgres_owners, real_path
from flowpin_cli.machine.processes import Account

SOCKETS = Path("/tmp")  # noqa: S108 - a folder of our own is made there, with a name nobody can guess
PREFIX = "flowpin-"
MARKER = ".flowpin"
MOST_MARKER_BYTES = 4_096


@contextmanager
def socket_folder(folder: DataFolder, account: Account, name: str = "socket") -> Iterator[Path]:
    """A folder with a short path, because paths of sockets have at most 107 bytes. Remains of a crashed run are
    removed.

    `name` is the file in the data folder that stores its path.

    It is locked while it is in use, so that systemd-tmpfiles does not remove it.
    """
    stale = folder.secret(name)
    if stale and is_ours(Path(stale), folder):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        real_path(SOCKETS)
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=SOCKETS))
    except OSError as error:
        raise CannotRun(f"a folder in {SOCKETS} is needed for a socket: {error.strerror}") from None
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _write_marker(fd, [*_identity(fd, path), folder.mark])
        folder.keep_secret(name, str(path))
        os.fchown(fd, account.uid, account.gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def is_ours(path: Path, folder: DataFolder | None = None) -> bool:
    """Whether a run of this user made the folder, and, if `folder` is given, a run on that data folder.

    The name proves nothing, because every user can create a folder of that name. The proof is a file in it that we own
    and that identifies this folder, so that it was not moved here from another. A copy of a data folder does not own
    the socket folder.
    """
    with suppress(OSError, ValueError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(fd)
            is_private = stat.S_IMODE(status.st_mode) == 0o700
            if path.parent == SOCKETS and is_private and status.st_uid in {os.geteuid(), *postgres_owners()}:
                *identity, mark = _read_marker(fd)
                return identity == _identity(fd, path) and (folder is None or mark == folder.mark)
        finally:
            os.close(fd)
    return False


def stale_folders() -> list[Path]:
    """Folders that earlier runs of this user left."""
    return [path for path in sorted(SOCKETS.glob(f"{PREFIX}*")) if is_ours(path) and not _is_in_use(path)]


def _is_in_use(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return True  # removed meanwhile
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _write_marker(folder_fd: int, lines: list[str]) -> None:
    marker = os.open(MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder_fd)
    with os.fdopen(marker, "w") as file:
        file.writelines(f"{line}\n" for line in lines)


def _read_marker(folder_fd: int) -> list[str]:
    """The marker's lines. Raises OSError or ValueError without a valid marker."""
    marker = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_fd)
    try:
        status = os.fstat(marker)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
            raise ValueError("it is not our file")
        return os.read(marker, MOST_MARKER_BYTES).decode().splitlines()
    finally:
        os.close(marker)


def _identity(folder_fd: int, path: Path) -> list[str]:
    status = os.fstat(folder_fd)
    return [str(path), f"{status.st_dev}:{status.st_ino}"]

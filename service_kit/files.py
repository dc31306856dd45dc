"""Replaces a small file so that after a crash it has the old content or the new, never a part."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` in one step, text as UTF-8.

    A new file has mode 600. An existing one keeps its mode and owner.

    A link of that name is replaced, not followed. The folder is opened at the start, so a folder that replaces it
    meanwhile is not used.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        temporary = f".{path.name}.{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                with suppress(FileNotFoundError):
                    _keep_mode_and_owner(fd, os.stat(path.name, dir_fd=folder, follow_symlinks=False))
                os.fsync(fd)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_mode_and_owner(fd: int, old: os.stat_result) -> None:
    if not stat.S_ISREG(old.st_mode):
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, stat.S_IMODE(old.st_mode))


def sync_folder(path: Path) -> None:
    """Write the names in a folder to disk, so that a rename survives a power failure."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

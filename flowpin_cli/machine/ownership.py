"""Checks that only this user can change a folder, its parents and its content: owner, mode, and no links."""

import grp
import os
import pwd
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from flowpin_cli.errors import CannotRun

POSTGRES_ACCOUNTS = ("postgres", "nobody")
"""Postgres refuses to run as root. If we are root, it runs as the first of these users that exists."""
MOST_LINKS = 40  # the kernel's own limit
WHOLE_MACHINE = ["0", "0", "4294967295"]


def check_folder(path: Path) -> Path:
    """Return the folder's real path. Raises CannotRun unless it is ours, and no other user can replace it or write in
    it."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise CannotRun(f"{path} is not a folder; choose another")
    if status.st_uid != os.geteuid():
        owner = user_name(status.st_uid)
        raise CannotRun(
            f"{path} belongs to {owner}, and you are {user_name(os.geteuid())}; "
            f"run flowpin as {owner}, or choose another folder"
        )
    if _is_writable_by_others(status):
        raise CannotRun(f"others can write in {path}; remove what is not yours there, then chmod go-w it")
    return real_path(path)


def check_content(folder: Path, postgres_owners: Collection[int]) -> None:
    """Raises CannotRun unless we own all content of a data folder. In `postgres…`, these users may own it too."""
    for path in sorted(folder.iterdir()):
        owners = {*trusted_users(), *(postgres_owners if path.name.startswith("postgres") else ())}
        _check_entry(path, path.lstat(), owners)


def _check_entry(path: Path, status: os.stat_result, owners: Collection[int]) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise CannotRun(
            f"{path} is a link, which flowpin does not follow in its data folder; replace it by the file itself"
        )
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise CannotRun(f"{path} is neither a file nor a folder; remove it")
    if status.st_uid not in owners:
        raise CannotRun(
            f"{path} belongs to {user_name(status.st_uid)}, and what flowpin uses must be "
            f"{user_name(os.geteuid())}'s; remove it, or chown it if you know what it is"
        )
    if _is_writable_by_others(status):
        raise CannotRun(f"others can write to {path}; check what they have written, then chmod go-w it")
    if stat.S_ISREG(status.st_mode) and status.st_nlink != 1:
        raise CannotRun(f"{path} is a hard link; replace it by a copy")


def real_path(path: Path) -> Path:
    """Resolve the links of a path. Raises CannotRun if another user could make it lead elsewhere."""
    here, links = Path("/"), 0
    steps = [*reversed(path.absolute().parts)]
    while steps:
        step = steps.pop()
        there = Path("/") if step == "/" else here.parent if step == ".." else here / step
        status = there.lstat()
        if status.st_uid not in trusted_users():
            raise CannotRun(
                f"{there}, on the way to {path}, belongs to {user_name(status.st_uid)}, who can exchange what is "
                f"below it; choose a folder elsewhere"
            )
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise CannotRun(f"{path} leads through more than {MOST_LINKS} links; choose another")
            steps += reversed(there.readlink().parts)
        else:
            if _is_writable_by_others(status) and not status.st_mode & stat.S_ISVTX:
                raise CannotRun(
                    f"others can write in {there}, on the way to {path}, and exchange what is below it; "
                    f"chmod go-w it (or +t), or choose a folder elsewhere"
                )
            here = there
    return here


def trusted_users() -> set[int]:
    """This user, and root, which can change everything anyway."""
    users = {0, os.geteuid()}
    if Path("/proc/self/uid_map").read_text().split() != WHOLE_MACHINE:
        # In a user namespace, all users outside it, including the machine's root, appear as this id.
        users.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return users


def postgres_owners() -> set[int]:
    """Users that may own Postgres' data."""
    if os.geteuid() != 0:
        return {os.geteuid()}
    owners = set()
    for name in POSTGRES_ACCOUNTS:
        with suppress(KeyError):
            owners.add(pwd.getpwnam(name).pw_uid)
    return owners


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _is_writable_by_others(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH) or bool(
        status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid, status.st_uid)
    )


def _is_private_group(gid: int, uid: int) -> bool:
    """Whether the group is the user's private group, as on many systems, without other members."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}

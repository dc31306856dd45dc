"""A sealed file that is damaged, written_by_others or renamed is unusable, and reading it does no harm."""

import os
import stat
from pathlib import Path

import pytest

from run_service.offline.sealed_folder import SealedFolder, Unusable
from service_kit.sealing import KeyRing

KEYS = KeyRing.of("5a" * 32, "keys", b"test")


@pytest.fixture
def folder(tmp_path: Path) -> SealedFolder:
    folder = SealedFolder(tmp_path / "offline", KEYS, 1000)
    folder.make()
    folder.write("routes", b"what was kept")
    folder.write("other", b"something else")
    return folder


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def cut_to_the_key(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def written_by_others(path: Path) -> None:
    path.write_text('{"routes": []}')


def swapped(path: Path) -> None:
    path.write_bytes(path.with_name("other").read_bytes())


def too_large(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(1000))


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [cut_short, cut_to_the_key, emptied, changed, written_by_others, swapped, too_large, a_link, a_pipe, a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_sealed_file_is_unusable(folder: SealedFolder, damage):
    damage(folder.path / "routes")

    with pytest.raises(Unusable):
        folder.read("routes")


def test_a_sealed_file_is_usable_only_with_its_key_among_the_keys(folder: SealedFolder):
    other = "6b" * 32

    with pytest.raises(Unusable):
        SealedFolder(folder.path, KeyRing.of(other, "keys", b"test"), 1000).read("routes")
    found = SealedFolder(folder.path, KeyRing.of(f"{other},{'5a' * 32}", "keys", b"test"), 1000).read("routes")

    assert found is not None
    assert found[0] == b"what was kept"


def test_sealed_files_are_private_and_encrypted(folder: SealedFolder):
    folder.path.chmod(0o755)
    folder.make()

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    assert b"what was kept" not in (folder.path / "routes").read_bytes()


def test_a_half_written_sealed_file_is_removed(folder: SealedFolder):
    (folder.path / ".routes.0123456789abcdef").write_text("half")

    assert sorted(folder.sizes()) == ["other", "routes"]
    assert not (folder.path / ".routes.0123456789abcdef").exists()


def test_reading_a_missing_sealed_file_returns_none(folder: SealedFolder):
    assert folder.read("nothing") is None

"""An access file that a process may not read, as in a container, is refused with advice."""

import os
from pathlib import Path

import pytest

from service_kit.access.registry import AccessRegistry
from tests.support.stack import People

CONTAINER = 10001


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_containers_user_reads_roots_access_file_only_if_its_mode_allows_everybody(mode: int, tmp_path: Path):
    tmp_path.chmod(0o755)
    people = People(tmp_path / "access.yaml")
    people.write()
    people.path.chmod(mode)

    said = message_of_user(CONTAINER, people.path)

    if mode == 0o644:
        assert said == "read"
    else:
        assert "uid 10001" in said
        assert "chmod 644" in said


def message_of_user(uid: int, path: Path) -> str:
    """The result of reading the file in a process of that user. It is forked, because Python may be in /root."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.chdir(path.parent)  # other users may not enter the folders above
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            AccessRegistry(Path(path.name))
            said = "read"
        except BaseException as error:
            said = str(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said

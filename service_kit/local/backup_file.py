"""The file of a backup: a ZIP of a database dump, the access file, and a manifest that says what they are."""

import hashlib
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from service_kit.files import sync_folder
from service_kit.local.errors import CannotRun

MANIFEST, DUMP, ACCESS = "manifest.json", "database.dump", "access.yaml"
FORMAT = 1
CHUNK = 1 << 20
LARGEST_MANIFEST = 16 << 20


class Recorded(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(Recorded):
    """One of the files in a backup."""

    bytes: int
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Recorded):
    """What a backup holds, and what it takes to read it."""

    format: int = FORMAT
    created_at: AwareDatetime
    flowpin: str
    postgres: str
    migrations: Mapping[str, list[str]]
    """The versions that had run, by schema."""
    rows: Mapping[str, int]
    """By `schema.table`."""
    files: Mapping[str, Member]

    @property
    def content(self) -> str:
        """The counts that mean something to a person."""
        names = ("workflow.workflows", "workflow.versions", "deploy.apps", "deploy.deployments")
        return ", ".join(f"{self.rows.get(name, 0)} {name.partition('.')[2]}" for name in names)


class Writer:
    """A backup that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, Member] = {}

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[int]:
        """Write a file of unknown length; yields how many bytes of it there are."""
        size, digest = 0, hashlib.sha256()
        with self._archive.open(_info(name), "w", force_zip64=True) as file:
            async for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                yield size
        self.files[name] = Member(bytes=size, sha256=digest.hexdigest())

    def add_small(self, name: str, content: bytes) -> None:
        self._archive.writestr(_info(name), content)
        self.files[name] = Member(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def add_manifest(self, manifest: Manifest) -> None:
        self._archive.writestr(_info(MANIFEST), manifest.model_dump_json(indent=2) + "\n")


class Reader:
    """A backup whose files are all there and as they were written."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @property
    def access(self) -> str:
        return self._archive.read(ACCESS).decode()

    def dump(self) -> Iterator[bytes]:
        return _chunks(self._archive, DUMP)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, time.gmtime()[:6])
    info.external_attr = 0o600 << 16
    return info


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new backup, which has its name once the block has ended well: whole, and readable by its owner only.

    CannotRun when there is a file of that name.
    """
    try:
        if path.exists():
            raise FileExistsError
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except FileExistsError:
        raise CannotRun(f"{path} exists, and backups are not overwritten; choose another name") from None
    except OSError as error:
        raise CannotRun(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w") as archive:  # not compressed: the dump is
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # takes the name, unless another has meanwhile
        Path(temporary).replace(path)
    except FileExistsError:
        raise CannotRun(f"{path} has been made by another meanwhile; choose another name") from None
    except OSError as error:
        raise CannotRun(f"{path} cannot be written: {error.strerror}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """A backup, checked from its first byte to its last. CannotRun when it is none, or damaged, or too new."""
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(path))
            manifest = _manifest(path, archive)
            for name, member in manifest.files.items():
                _check(path, archive, name, member)
        except OSError as error:
            raise CannotRun(f"{path} cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise CannotRun(f"{path} is no backup, or is damaged: {error}") from None
        yield Reader(archive, manifest)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        with archive.open(MANIFEST) as file:
            manifest = Manifest.model_validate_json(file.read(LARGEST_MANIFEST))
    except (KeyError, ValidationError):
        raise CannotRun(f"{path} is no backup of Flowpin's: it has no {MANIFEST} that can be read") from None
    if manifest.format > FORMAT:
        raise CannotRun(f"{path} was made by Flowpin {manifest.flowpin}, which is newer than this one; install that")
    if missing := {DUMP, ACCESS} - manifest.files.keys():
        raise CannotRun(f"{path} is no whole backup: there is no {min(missing)} in it")
    return manifest


def _check(path: Path, archive: zipfile.ZipFile, name: str, expected: Member) -> None:
    size, digest = 0, hashlib.sha256()
    try:
        for chunk in _chunks(archive, name):
            size += len(chunk)
            digest.update(chunk)
    except KeyError:
        raise CannotRun(f"{path} is damaged: there is no {name} in it") from None
    if (size, digest.hexdigest()) != (expected.bytes, expected.sha256):
        raise CannotRun(f"{path} is damaged: {name} is not what the manifest says; take another backup")


def _chunks(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as file:
        while chunk := file.read(CHUNK):
            yield chunk

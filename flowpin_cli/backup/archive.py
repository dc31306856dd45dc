"""The file format of a backup: a ZIP with a database dump, the access file, and a manifest that describes them."""

import hashlib
import io
import os
import secrets
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from flowpin_cli.errors import CannotRun

MANIFEST, DUMP, ACCESS = "manifest.json", "database.dump", "access.yaml"
FORMAT = 1
CHUNK = 1 << 20
LARGEST_MANIFEST = 1 << 20
LARGEST_ACCESS = 16 << 20
LARGEST_READ = 1 << 20
IS_ENCRYPTED = 1


class Recorded(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(Recorded):
    """A file in a backup."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Recorded):
    """The manifest: the content of a backup, and the versions that are needed to read it."""

    format: int = FORMAT
    created_at: AwareDatetime
    flowpin: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+!_-]{1,64}$")]
    postgres: str
    migrations: Mapping[str, list[Annotated[str, Field(pattern="^[0-9]{1,20}$")]]]
    """The applied migrations, by schema."""
    rows: Mapping[str, int]
    """Row counts by `schema.table`."""
    files: Mapping[str, Member]

    @property
    def content(self) -> str:
        """The counts that are shown to people."""
        names = ("workflow.workflows", "workflow.versions", "deploy.apps", "deploy.deployments")
        return ", ".join(f"{self.rows.get(name, 0)} {name.partition('.')[2]}" for name in names)


class Writer:
    """A backup that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, Member] = {}

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[int]:
        """Write a file of unknown length. Yields the number of bytes so far."""
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

    def dump(self) -> Iterator[bytes]:
        """The bytes of the dump."""
        return _chunks(self._archive, DUMP)

    def add_manifest(self, manifest: Manifest) -> None:
        self._archive.writestr(_info(MANIFEST), manifest.model_dump_json(indent=2) + "\n")


class Reader:
    """A backup whose files are complete and unchanged."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest, access: str) -> None:
        self._archive = archive
        self.manifest = manifest
        self.access = access

    def dump(self) -> Iterator[bytes]:
        return _chunks(self._archive, DUMP)

    @contextmanager
    def copy_of_dump(self, folder: Path) -> Iterator[IO[bytes]]:
        """A private copy of the dump, checked while it is copied. Otherwise, another user could change the backup after
        the check."""
        with tempfile.TemporaryFile(dir=folder) as copy:
            digest = hashlib.sha256()
            for chunk in self.dump():
                copy.write(chunk)
                digest.update(chunk)
            if digest.hexdigest() != self.manifest.files[DUMP].sha256:
                raise CannotRun("the backup was changed while it was read; nothing was restored")
            copy.seek(0)
            yield copy


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, time.gmtime()[:6])
    info.external_attr = 0o600 << 16
    return info


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a new backup. The file gets its name when the block ends without an error, and only its owner can read it.

    Raises CannotRun if a file of that name exists. The folder is opened at the start, so a folder that replaces it
    later is not used.
    """
    try:
        if os.path.lexists(path):
            raise CannotRun(f"{path} exists already; choose another name")
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotRun(f"{path} cannot be written: {error.strerror}") from None
    temporary = f".{path.name}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w") as archive:  # not compressed, because the dump is
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        # Take the name, unless another process has created the file meanwhile.
        os.close(os.open(path.name, os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))
        os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except FileExistsError:
        raise CannotRun(f"{path} was created by another process meanwhile; choose another name") from None
    except OSError as error:
        raise CannotRun(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        os.close(folder)


class _SmallReads(io.BufferedReader):
    """A file that limits the size of each read, because zipfile reads the whole directory, even if its size is
    forged."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(LARGEST_READ + 1 if size is None or size < 0 else min(size, LARGEST_READ + 1))
        if len(data) > LARGEST_READ:
            raise zipfile.BadZipFile("its directory is too large")
        return data


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a backup and check all of its content. Raises CannotRun if it is not a backup, is damaged or is too new."""
    with ExitStack() as opened:
        try:
            file = opened.enter_context(_SmallReads(io.FileIO(path)))
            archive = opened.enter_context(zipfile.ZipFile(file))
            _check_names(path, archive)
            manifest = _manifest(path, archive)
            for _ in _checked(path, archive, DUMP, manifest.files[DUMP]):
                pass
            access = _access(path, archive, manifest.files[ACCESS])
        except OSError as error:
            raise CannotRun(f"{path} cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise CannotRun(f"{path} is not a backup, or is damaged: {error}") from None
        yield Reader(archive, manifest, access)


def _check_names(path: Path, archive: zipfile.ZipFile) -> None:
    files = archive.infolist()
    if sorted(file.filename for file in files) != sorted((MANIFEST, DUMP, ACCESS)):
        raise CannotRun(
            f"{path} is not a backup of Flowpin: it must contain {MANIFEST}, {DUMP} and {ACCESS}, once each"
        )
    # Flowpin does not compress entries, because the dump is compressed. So an entry cannot be larger than the file.
    if any(file.compress_type != zipfile.ZIP_STORED or file.flag_bits & IS_ENCRYPTED for file in files):
        raise CannotRun(f"{path} is not a backup of Flowpin: a file in it is compressed or encrypted")


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        with archive.open(MANIFEST) as file:
            manifest = Manifest.model_validate_json(file.read(LARGEST_MANIFEST))
    except ValidationError:
        raise CannotRun(f"{path} is not a backup of Flowpin: it has no {MANIFEST} that can be read") from None
    if manifest.format > FORMAT:
        raise CannotRun(
            f"{path} was made by Flowpin {manifest.flowpin}, which is newer than this one; install that version"
        )
    if manifest.files.keys() != {DUMP, ACCESS}:
        raise CannotRun(f"{path} is not a backup of Flowpin: {MANIFEST} must say what {DUMP} and {ACCESS} are")
    return manifest


def _access(path: Path, archive: zipfile.ZipFile, expected: Member) -> str:
    if archive.getinfo(ACCESS).file_size > LARGEST_ACCESS:
        raise CannotRun(f"{path} is not a backup of Flowpin: {ACCESS} in it is larger than {LARGEST_ACCESS >> 20} MiB")
    return b"".join(_checked(path, archive, ACCESS, expected)).decode()


def _checked(path: Path, archive: zipfile.ZipFile, name: str, expected: Member) -> Iterator[bytes]:
    size, digest = 0, hashlib.sha256()
    for chunk in _chunks(archive, name):
        size += len(chunk)
        digest.update(chunk)
        yield chunk
    if (size, digest.hexdigest()) != (expected.bytes, expected.sha256):
        raise CannotRun(f"{path} is damaged: {name} does not match the manifest; use another backup")


def _chunks(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    try:
        with archive.open(name) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except zipfile.BadZipFile as error:
        raise CannotRun(f"the backup is damaged: {error}") from None

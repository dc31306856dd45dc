"""The access file in force: answers whose token this is, and follows the file while the service runs."""

import asyncio
import stat
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from service_kit.access.caller import Principal
from service_kit.access.file import (
    MAX_CHARACTERS,
    AccessFile,
    AccessFileError,
    Org,
    Project,
    Role,
    Token,
    User,
    hash_token,
    parse_access_file,
)
from service_kit.threads import start_daemon_thread

# A revocation holds within two seconds; a look at an unchanged file costs some 100 microseconds.
RELOAD_SECONDS = 0.4
READ_SECONDS = 0.8
"""How long the file may take to be read. Health says within two seconds that it takes longer."""
START_SECONDS = 10.0
"""The same when the service starts, and has nothing else to do."""
MOST_HUNG_READS, HUNG_PAUSE_SECONDS = 4, 30.0
"""Reads that may hang at a time, and how long it takes until one more is tried when none of them ends."""
MAX_BYTES = 4 * MAX_CHARACTERS
HUNG = f"cannot be read: its file system has not answered for {READ_SECONDS:g} s"

log = structlog.get_logger()


class AccessRegistry:
    """What access.yaml says, as of now."""

    def __init__(self, path: Path) -> None:
        """Raises AccessFileError: a service without its access file refuses to start."""
        self._path = path
        self.error: str | None = None
        """Why the file's newest content is not in force; None when it is."""
        try:
            content = _start_reading(path, None).result(START_SECONDS)
        except TimeoutError:
            raise AccessFileError(f"cannot be read: its file system has not answered for {START_SECONDS:g} s") from None
        if content is None:
            raise AccessFileError("cannot be read")
        self._stamp: _Stamp | None = content.stamp
        self._declared = _parse(content)

    @property
    def orgs(self) -> Mapping[UUID, Org]:
        return self._declared.orgs

    @property
    def projects(self) -> Mapping[UUID, Project]:
        return self._declared.projects

    def principal_of(self, secret: str) -> Principal | None:
        """Whose token `secret` is; None when it is unknown, revoked or expired."""
        return self._valid(hash_token(secret))

    def current(self, principal: Principal) -> Principal | None:
        """The same token's principal as of now; None when the token was revoked or has expired since."""
        return self._valid(principal.token.sha256)

    def _valid(self, sha256: str) -> Principal | None:
        principal = self._declared.principals.get(sha256)
        if principal is None or not principal.token.is_valid(datetime.now(UTC)):
            return None
        return principal

    async def follow(self) -> None:
        """Take up changes of the file, for ever. One that cannot be used leaves the last good one in force.

        Each read has a thread of its own. A file system that hangs keeps a few of them, and nothing else.
        """
        hung: set[asyncio.Future[_Content | None]] = set()
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            if len(hung) == MOST_HUNG_READS:
                await asyncio.wait(hung, timeout=HUNG_PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            hung = {each for each in hung if not each.done()}
            reading = asyncio.wrap_future(_start_reading(self._path, self._stamp))
            await asyncio.wait({reading}, timeout=READ_SECONDS)
            if not reading.done():
                hung.add(reading)
                self._stamp = None  # what is read next counts, changed or not
                self._refuse(HUNG)
            elif content := reading.result():
                self._stamp = content.stamp
                await self._take(content)

    async def _take(self, content: "_Content") -> None:
        try:
            declared = await asyncio.to_thread(_parse, content)
            if self._declared.principals and not declared.principals:
                raise AccessFileError("declares no token; revoke tokens one by one to let nobody in")
        except Exception as error:  # a file can be wrong in ways unknown, and the tokens of the last good one are valid
            self._refuse(
                str(error) if isinstance(error, AccessFileError) else f"cannot be used: {type(error).__name__}"
            )
        else:
            self._declared = declared
            self.error = None
            log.info("access_file_loaded", path=str(self._path), tokens=len(declared.principals))

    def _refuse(self, problem: str) -> None:
        if problem != self.error:
            log.error("access_file_refused", path=str(self._path), error=problem)
        self.error = problem


@dataclass(frozen=True, slots=True)
class _Stamp:
    """By which a change of the file is seen."""

    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class _Content:
    stamp: _Stamp | None
    text: str
    problem: str = ""
    """Why there is no text."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """A file's content, by what is looked up."""

    orgs: Mapping[UUID, Org]
    projects: Mapping[UUID, Project]
    principals: Mapping[str, Principal]
    """By the token's SHA-256."""


def _start_reading(path: Path, known: _Stamp | None) -> "Future[_Content | None]":
    return start_daemon_thread(_read_if_changed, path, known)


def _read_if_changed(path: Path, known: _Stamp | None) -> _Content | None:
    """None when the file is the one that is known. Does not raise."""
    stamp = None
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return _Content(None, "", "is not a regular file")  # opening it might wait for another program
        if found.st_size > MAX_BYTES:
            return _Content(None, "", f"is longer than {MAX_BYTES:,} bytes")
        stamp = _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
        return None if stamp == known else _Content(stamp, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return _Content(stamp, "", f"cannot be read: {error}")


def _parse(content: _Content) -> _Declared:
    """Raises AccessFileError."""
    if content.problem:
        raise AccessFileError(content.problem)
    access = parse_access_file(content.text)
    if access == AccessFile():
        raise AccessFileError("is empty")
    orgs = {org.id: org for org in access.orgs}
    projects = {project.id: project for project in access.projects}
    users = {user.id: user for user in access.users}
    principals = {token.sha256: _principal(users[token.user], token, orgs, projects) for token in access.tokens}
    return _Declared(orgs, projects, principals)


def _principal(
    user: User, token: Token, all_orgs: Mapping[UUID, Org], all_projects: Mapping[UUID, Project]
) -> Principal:
    roles: dict[UUID, Role] = {}
    for project in all_projects.values():
        held = max(token.roles.get(project.id, 0), token.roles.get(project.org_id, 0))
        if held:
            roles[project.id] = Role(held)
    projects = {project_id: all_projects[project_id] for project_id in roles}
    orgs = frozenset(token.roles.keys() & all_orgs.keys()) | {project.org_id for project in projects.values()}
    return Principal(user=user, token=token, roles=roles, projects=projects, orgs=orgs)

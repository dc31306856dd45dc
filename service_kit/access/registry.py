"""The current access file: finds the owner of a token, and follows the file while the service runs."""

import asyncio
import os
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
    Issuer,
    Org,
    Project,
    Role,
    Token,
    User,
    hash_token,
    parse_access_file,
)
from service_kit.access.issuers import Issuers
from service_kit.access.web_tokens import is_jwt
from service_kit.threads import start_daemon_thread

# A revocation takes effect within two seconds. A check of an unchanged file takes some 100 microseconds.
RELOAD_SECONDS = 0.4
READ_SECONDS = 0.8
"""How long a read of the file may take. Health reports within two seconds that it takes longer."""
START_SECONDS = 10.0
"""Like READ_SECONDS, during the start of the service, when it has nothing else to do."""
MOST_HUNG_READS, HUNG_PAUSE_SECONDS = 4, 30.0
"""Maximum number of hanging reads. If none of them ends, another read is tried after these seconds."""
MAX_BYTES = 4 * MAX_CHARACTERS
UNREADABLE = (
    "cannot be read by this process's user, uid {uid}: make that user its owner (chown {uid}), or make it and its "
    "folder readable for all (chmod 644; it contains names and hashes of tokens)"
)
HUNG = f"cannot be read: its file system has not answered for {READ_SECONDS:g} s"

log = structlog.get_logger()


class AccessRegistry:
    """The current content of access.yaml."""

    def __init__(self, path: Path) -> None:
        """Raises AccessFileError, because a service without its access file must not start."""
        self._path = path
        self.error: str | None = None
        """The reason why the file's newest content is not used. None if it is used."""
        try:
            content = _start_reading(path, None).result(START_SECONDS)
        except TimeoutError:
            raise AccessFileError(f"cannot be read: its file system has not answered for {START_SECONDS:g} s") from None
        if content is None:
            raise AccessFileError("cannot be read")
        self._stamp: _Stamp | None = content.stamp
        self._declared = _parse(content)
        self._issuers = Issuers(self._declared.issuers, self._declared.principal_of)

    @property
    def orgs(self) -> Mapping[UUID, Org]:
        return self._declared.orgs

    @property
    def projects(self) -> Mapping[UUID, Project]:
        return self._declared.projects

    def users_of(self, orgs: frozenset[UUID]) -> list[User]:
        """The users who have or had a token in any of these orgs, by name."""
        found = {each.user.id: each.user for each in self._declared.principals.values() if each.orgs & orgs}
        return sorted(found.values(), key=lambda user: (user.display_name, user.id))

    def principal_of(self, secret: str) -> Principal | None:
        """The owner of the token `secret`. None if it is unknown, revoked or expired.

        Raises IssuerKeysNotRead, a ServiceError, for a token of an issuer that has not answered yet.
        """
        if is_jwt(secret):
            return self._issuers.verify(secret)
        return self._valid(hash_token(secret))

    def current(self, principal: Principal) -> Principal | None:
        """The current principal of the same token. None if the token was revoked or has expired."""
        sha256 = principal.token.sha256
        return self._valid(sha256) or self._issuers.known(sha256)

    def _valid(self, sha256: str) -> Principal | None:
        principal = self._declared.principals.get(sha256)
        if principal is None or not principal.token.is_valid(datetime.now(UTC)):
            return None
        return principal

    async def follow(self) -> None:
        """Load changes of the file and the keys of issuers, until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_file())
            tasks.create_task(self._issuers.follow())

    async def _follow_file(self) -> None:
        """Load changes of the file. If the new content cannot be used, the last good one stays.

        Each read has its own thread, so a file system that hangs blocks only a few threads.
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
                self._stamp = None  # the next read is used even if the file seems unchanged
                self._refuse(HUNG)
            elif content := reading.result():
                self._stamp = content.stamp
                await self._take(content)

    async def _take(self, content: "_Content") -> None:
        try:
            declared = await asyncio.to_thread(_parse, content)
            if self._declared.names_somebody and not declared.names_somebody:
                raise AccessFileError("declares no token; to lock everybody out, revoke the tokens one by one")
        except Exception as error:  # files can fail in unforeseen ways; the tokens of the last good one remain valid
            self._refuse(
                str(error) if isinstance(error, AccessFileError) else f"cannot be used: {type(error).__name__}"
            )
        else:
            self._declared = declared
            self._issuers.declare(declared.issuers, declared.principal_of)
            self.error = None
            log.info("access_file_loaded", path=str(self._path), tokens=len(declared.principals))

    def _refuse(self, problem: str) -> None:
        if problem != self.error:
            log.error("access_file_refused", path=str(self._path), error=problem)
        self.error = problem


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Attributes that show a change of the file."""

    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class _Content:
    stamp: _Stamp | None
    text: str
    problem: str = ""
    """The reason why the text could not be read."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """The content of a file, indexed for lookups."""

    orgs: Mapping[UUID, Org]
    projects: Mapping[UUID, Project]
    principals: Mapping[str, Principal]
    """Principals by the token's SHA-256."""
    issuers: tuple[Issuer, ...]

    def principal_of(self, user: User, token: Token) -> Principal:
        return _principal(user, token, self.orgs, self.projects)

    @property
    def names_somebody(self) -> bool:
        return bool(self.principals or self.issuers)


def _start_reading(path: Path, known: _Stamp | None) -> "Future[_Content | None]":
    return start_daemon_thread(_read_if_changed, path, known)


def _read_if_changed(path: Path, known: _Stamp | None) -> _Content | None:
    """None if the file has not changed. Does not raise."""
    stamp = None
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return _Content(None, "", "is not a regular file")  # opening it might block until another program opens it
        if found.st_size > MAX_BYTES:
            return _Content(None, "", f"is longer than {MAX_BYTES:,} bytes")
        stamp = _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)
        return None if stamp == known else _Content(stamp, path.read_text(encoding="utf-8"))
    except PermissionError:
        return _Content(stamp, "", UNREADABLE.format(uid=os.geteuid()))
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
    return _Declared(orgs, projects, principals, access.issuers)


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

"""The access file in force: answers whose token this is, and follows the file while the service runs."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from service_kit.access import (
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
from service_kit.auth import Principal

# A revocation holds within two seconds; a stat costs a few microseconds.
RELOAD_SECONDS = 0.5

log = structlog.get_logger()


class Directory:
    """What access.yaml says, as of now."""

    def __init__(self, path: Path) -> None:
        """Raises AccessFileError: a service without its access file refuses to start."""
        self._path = path
        self.error: str | None = None
        """Why the file's newest content is not in force; None when it is."""
        self._stamp = self._read_stamp()
        self._use(parse_access_file(self._read()))

    def principal_of(self, secret: str) -> Principal | None:
        """Whose token `secret` is; None when it is unknown, revoked or expired."""
        principal = self._principals.get(hash_token(secret))
        if principal is None or not principal.token.is_valid(datetime.now(UTC)):
            return None
        return principal

    async def follow(self) -> None:
        """Take up changes of the file, for ever. A file that does not parse leaves the last good one in force."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()

    def _reload(self) -> None:
        try:
            self._use(parse_access_file(self._read()))
        except AccessFileError as error:
            self.error = str(error)
            log.error("access_file_refused", path=str(self._path), problem=self.error)
        else:
            self.error = None
            log.info("access_file_loaded", path=str(self._path), tokens=len(self._principals))

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise AccessFileError(f"cannot be read: {error}") from None

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _use(self, access: AccessFile) -> None:
        self.orgs: Mapping[UUID, Org] = {org.id: org for org in access.orgs}
        self.projects: Mapping[UUID, Project] = {project.id: project for project in access.projects}
        users = {user.id: user for user in access.users}
        self._principals = {token.sha256: self._principal(users[token.user], token) for token in access.tokens}

    def _principal(self, user: User, token: Token) -> Principal:
        roles: dict[UUID, Role] = {}
        for project in self.projects.values():
            held = max(token.roles.get(project.id, 0), token.roles.get(project.org_id, 0))
            if held:
                roles[project.id] = Role(held)
        projects = {project_id: self.projects[project_id] for project_id in roles}
        orgs = frozenset(token.roles.keys() & self.orgs.keys()) | {project.org_id for project in projects.values()}
        return Principal(user=user, token=token, roles=roles, projects=projects, orgs=orgs)

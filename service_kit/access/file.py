"""The access file: the declared orgs, projects, users and tokens."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Annotated
from uuid import UUID

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from service_kit.yaml_events import Bounds, YamlRefused, bounded_events

MAX_CHARACTERS = 16 << 20
"""Of the file, and of its scalars with aliases written out: about 60,000 tokens."""
MAX_SCALAR_CHARACTERS = 1000
MAX_PROBLEMS = 20
"""Wrong fields that an error names."""
BOUNDS = Bounds(levels=10, values=1_000_000, characters=MAX_CHARACTERS)
HARMLESS_TAGS = (None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str")))
TOKEN_PREFIX = "dyn_pat_"  # noqa: S105 - the public prefix of every token, not a secret


class Role(IntEnum):
    """What a token may do in a project. A viewer reads, an editor also changes, an admin also deletes and manages keys.

    A runner is the run service's account: it reads, and gets what replicas need, secrets included. No other role does.
    """

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3
    RUNNER = 4

    def covers(self, needed: "Role") -> bool:
        """Whether the role may do what takes `needed`."""
        if Role.RUNNER in (self, needed):
            return needed in (self, Role.VIEWER)
        return self >= needed


def _role(value: object) -> Role:
    if isinstance(value, Role):
        return value
    try:
        return Role[str(value).upper()]
    except KeyError:
        raise ValueError("must be viewer, editor, admin or runner") from None


RoleName = Annotated[Role, PlainValidator(_role), PlainSerializer(lambda role: role.name.lower(), return_type=str)]


class Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Org(Declared):
    id: UUID
    name: str


class Project(Declared):
    id: UUID
    name: str
    org_id: UUID
    environments: tuple[str, ...] = Field(default=("production",), min_length=1)
    """In promotion order; the last one is the default of every call."""
    protected_labels: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], ...] = ()
    """Labels of workflows that only admins set, move or remove."""


class User(Declared):
    id: UUID
    name: str = ""
    """A service account's name; a person has the four below instead."""
    service: bool = False
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    timezone: str = "UTC"

    @property
    def display_name(self) -> str:
        return self.name or f"{self.first_name} {self.last_name}".strip() or self.email or str(self.id)


class Token(Declared):
    id: str
    user: UUID
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the whole token, prefix included, in lower-case hex."""
    roles: Mapping[UUID, RoleName]
    """By project id, or by org id for all of its projects."""
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class AccessFile(Declared):
    orgs: tuple[Org, ...] = ()
    projects: tuple[Project, ...] = ()
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()


class AccessFileError(Exception):
    """The access file cannot be used; the message says what to mend."""


def hash_token(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_access_file(text: str) -> AccessFile:
    """Read access.yaml. Raises AccessFileError naming the entry that is wrong."""
    try:
        access = AccessFile.model_validate(_load(text) or {})
    except ValidationError as error:
        # Never the input: it may hold a token pasted where its hash belongs.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:MAX_PROBLEMS]]
        more = [f"and {len(found) - MAX_PROBLEMS} more"] if len(found) > MAX_PROBLEMS else []
        raise AccessFileError("; ".join(problems + more)) from None
    _check_references(access)
    return access


def _load(text: str) -> object:
    if len(text) > MAX_CHARACTERS:
        raise AccessFileError(f"is longer than {MAX_CHARACTERS:,} characters")
    try:
        for event in bounded_events(yaml.CSafeLoader(text), text, BOUNDS):
            _check(event)
        return yaml.load(text, yaml.CSafeLoader)
    except YamlRefused as error:
        raise AccessFileError(str(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # What only looks like a number or a date is a ValueError of PyYAML's.
        raise AccessFileError(f"is not YAML: {error}") from None


def _check(event: yaml.Event) -> None:
    """Refuses long scalars, which resolve slowly, and tags, for which the loader raises KeyError or AttributeError."""
    where = f" at line {event.start_mark.line + 1}" if event.start_mark else ""
    if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR_CHARACTERS:
        raise AccessFileError(f"has a text of more than {MAX_SCALAR_CHARACTERS:,} characters{where}")
    if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in HARMLESS_TAGS:
        raise AccessFileError(f"has the tag {str(event.tag)[:80]!r}{where}, which no access file needs")


def _check_references(access: AccessFile) -> None:
    for kind, entries in (("orgs", access.orgs), ("projects", access.projects), ("users", access.users)):
        _check_unique(kind, [entry.id for entry in entries])
    _check_unique("tokens", [token.id for token in access.tokens])
    _check_unique("token hashes", [token.sha256 for token in access.tokens])
    orgs = {org.id for org in access.orgs}
    users = {user.id: user for user in access.users}
    scopes = orgs | {project.id for project in access.projects}
    for project in access.projects:
        if project.org_id not in orgs:
            raise AccessFileError(f"project {project.id}: no org {project.org_id}")
        _check_unique(f"environments of project {project.id}", project.environments)
    for token in access.tokens:
        if token.user not in users:
            raise AccessFileError(f"token {token.id}: no user {token.user}")
        if Role.RUNNER in token.roles.values() and not users[token.user].service:
            raise AccessFileError(f"token {token.id}: the role runner is for service accounts only")
        if unknown := token.roles.keys() - scopes:
            raise AccessFileError(f"token {token.id}: no project or org {next(iter(unknown))}")


def _check_unique(kind: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise AccessFileError(f"{kind}: {value} stands there twice")
        seen.add(value)

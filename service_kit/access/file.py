"""The access file: the declared orgs, projects, users and tokens."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from service_kit.yaml_events import Bounds, YamlRefused, bounded_events

MAX_CHARACTERS = 16 << 20
"""Size limit of the file, and of its scalars with aliases expanded. Enough for about 60,000 tokens."""
MAX_SCALAR_CHARACTERS = 1000
MAX_PROBLEMS = 20
"""Maximum invalid fields that an error names."""
BOUNDS = Bounds(levels=10, values=1_000_000, characters=MAX_CHARACTERS)
LONG_WORD = re.compile(r"[\w-]{25,}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
HARMLESS_TAGS = (None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str")))
TOKEN_PREFIX = "dyn_pat_"  # noqa: S105 - the public prefix of every token, not a secret


class Role(IntEnum):
    """What a token may do in a project.

    A viewer reads. An editor also changes. An admin also deletes and manages keys. A runner is the run service's
    account: it reads, and is the only role that gets the data of replicas, including secrets. An operator manages the
    installation and has no rights in projects. A token may have this role in addition.
    """

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3
    RUNNER = 4
    OPERATOR = 5

    def covers(self, needed: "Role") -> bool:
        """Whether the role includes the rights of the role `needed`."""
        if needed is Role.OPERATOR:
            return False
        if Role.RUNNER in (self, needed):
            return needed in (self, Role.VIEWER)
        return self >= needed


def _role(value: object) -> Role:
    if isinstance(value, Role):
        return value
    try:
        role = Role[str(value).upper()]
    except KeyError:
        raise ValueError("must be viewer, editor, admin or runner") from None
    if role is Role.OPERATOR:
        raise ValueError("must be viewer, editor, admin or runner; an operator's token has `operator: true`")
    return role


RoleName = Annotated[Role, PlainValidator(_role), PlainSerializer(lambda role: role.name.lower(), return_type=str)]


def is_safe_url(url: str) -> bool:
    """Whether the content cannot be changed in transit, because the URL is https or names this machine."""
    try:
        parts = urlsplit(url)
        is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_local))


def _safe_url(url: str) -> str:
    if not is_safe_url(url):
        raise ValueError("must be an https URL (http is accepted for this machine only)")
    return url


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
    """The environments in promotion order. The last one is the default of every call."""
    protected_labels: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], ...] = ()
    """Labels of workflows that only admins may set, move or remove."""


class User(Declared):
    id: UUID
    name: str = ""
    """The name of a service account. For a person, the next four fields are set instead."""
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
    """Hash of the whole token including its prefix, in lower-case hex."""
    roles: Mapping[UUID, RoleName]
    """Roles by project id, or by org id for all of its projects."""
    operator: bool = False
    """Whether the token has the role operator, for the whole installation and its runtimes."""
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Grant(Declared):
    """Roles of one subject of an issuer, or of all members of a group."""

    subject: str = ""
    group: str = ""
    roles: Mapping[UUID, RoleName] = Field(default_factory=dict)
    """Roles by project id, or by org id for all of its projects."""
    operator: bool = False
    """Whether the subjects have the role operator, for the whole installation and its runtimes."""

    @model_validator(mode="after")
    def _names_one(self) -> "Grant":
        if bool(self.subject) == bool(self.group):
            raise ValueError("must have either subject or group")
        if not self.roles and not self.operator:
            raise ValueError("must have roles or operator")
        return self


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Audience = Annotated[str, Field(min_length=1)]


class Issuer(Declared):
    """An OpenID Connect issuer whose JSON Web Tokens are accepted."""

    url: Annotated[str, AfterValidator(_safe_url)]
    """The claim `iss` of its tokens."""
    audience: Annotated[tuple[Audience, ...], BeforeValidator(_listed), Field(min_length=1)]
    """The claim `aud` of a token must contain one of these. In the file, this is a text or a list."""
    jwks_url: Annotated[str, AfterValidator(_safe_url)] | None = None
    """The URL of the issuer's keys. By default, the one in its discovery document."""
    algorithms: tuple[Literal["RS256", "ES256", "EdDSA"], ...] = Field(("RS256", "ES256", "EdDSA"), min_length=1)
    groups_claim: str = "groups"
    grants: tuple[Grant, ...] = ()


class AccessFile(Declared):
    orgs: tuple[Org, ...] = ()
    projects: tuple[Project, ...] = ()
    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()
    issuers: tuple[Issuer, ...] = ()


class AccessFileError(Exception):
    """The access file cannot be used. The message says what to correct."""


def hash_token(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_access_file(text: str) -> AccessFile:
    """Read access.yaml. Raises AccessFileError, which names the invalid entry without possible secrets."""
    try:
        return _parsed(text)
    except AccessFileError as error:
        raise AccessFileError(LONG_WORD.sub(_shortened, str(error))) from None


def _shortened(word: re.Match[str]) -> str:
    """Shorten a word unless it is a UUID, because it may be a token in the wrong place."""
    return word[0] if UUID_TEXT.fullmatch(word[0]) else f"{word[0][:8]}…"


def _parsed(text: str) -> AccessFile:
    try:
        access = AccessFile.model_validate(_load(text) or {})
    except ValidationError as error:
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
        # PyYAML raises ValueError for text that only looks like a number or a date.
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
    _check_unique("issuers", [issuer.url for issuer in access.issuers])
    for issuer in access.issuers:
        for grant in issuer.grants:
            if Role.RUNNER in grant.roles.values():
                raise AccessFileError(f"issuer {issuer.url}: the role runner is for service accounts only")
            if unknown := grant.roles.keys() - scopes:
                raise AccessFileError(f"issuer {issuer.url}: no project or org {next(iter(unknown))}")


def _check_unique(kind: str, values: Iterable[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise AccessFileError(f"{kind}: {value} is duplicated")
        seen.add(value)

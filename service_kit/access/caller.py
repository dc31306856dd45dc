"""The caller of an RPC, and the rights of the caller's token."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from service_kit.access.file import Project, Role, Token, User
from service_kit.errors import InsufficientRole, ProjectNotFound

OFFICIAL_CLIENT = "dynamiq-cli/"
"""Prefix of the User-Agent of the Dynamiq platform's command line."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A user with the rights of one token. A role in an org applies to all of its projects."""

    user: User
    token: Token
    roles: Mapping[UUID, Role]
    projects: Mapping[UUID, Project]
    """Every project in which the token has a role."""
    orgs: frozenset[UUID]
    """Every org in which, or in a project of which, the token has a role."""
    projects_by_role: Mapping[Role, tuple[UUID, ...]] = field(init=False)

    def __post_init__(self) -> None:
        permitted = {role: tuple(p for p, held in self.roles.items() if held.covers(role)) for role in Role}
        object.__setattr__(self, "projects_by_role", permitted)


@dataclass(frozen=True, slots=True)
class Caller:
    """The current call's principal, the role that its RPC requires, and its metadata."""

    principal: Principal
    role: Role
    request_id: str
    idempotency_key: str | None
    if_match: str | None
    rest_user_agent: str = ""
    """The User-Agent of a REST call by the official client. Empty for all others."""

    @property
    def id(self) -> UUID:
        return self.principal.user.id

    @property
    def name(self) -> str:
        return self.principal.user.display_name

    @property
    def is_official_client(self) -> bool:
        return self.rest_user_agent.startswith(OFFICIAL_CLIENT)

    @property
    def permitted_projects(self) -> tuple[UUID, ...]:
        """The projects in which the caller has the RPC's role."""
        return self.principal.projects_by_role[self.role]

    @property
    def visible_projects(self) -> tuple[UUID, ...]:
        """The projects that are visible to the caller."""
        return self.principal.projects_by_role[Role.VIEWER]

    def require(self, project_id: UUID, role: Role | None = None) -> None:
        """Raises InsufficientRole unless the caller has `role`, by default the RPC's role, in a visible project."""
        role = role or self.role
        held = self.principal.roles.get(project_id)
        if held is None or not held.covers(role):
            raise InsufficientRole(role.name.lower())

    def require_operator(self) -> None:
        """Raises InsufficientRole unless the token has the role operator. Used for things that the whole installation
        shares."""
        if not self.principal.token.operator:
            raise InsufficientRole(Role.OPERATOR.name.lower(), "the installation")

    def project(self, project_id: UUID) -> Project:
        """The project that a request names. Raises ProjectNotFound if it is not visible, or InsufficientRole."""
        project = self.principal.projects.get(project_id)
        if project is None:
            raise ProjectNotFound(project_id)
        self.require(project_id)
        return project


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the current RPC. The guard has authenticated it and checked the role table."""
    return _caller.get()


def set_caller(value: Caller) -> None:
    _caller.set(value)

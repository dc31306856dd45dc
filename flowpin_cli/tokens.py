"""`flowpin token`: changes access.yaml according to the options, and prints the result."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flowpin_cli.errors import CannotRun
from service_kit.access import tokens
from service_kit.access.file import AccessFile, AccessFileError, Role, Token


def new(
    path: Path,
    user: str | None,
    service: str | None,
    projects: Sequence[str],
    orgs: Sequence[str],
    role_name: str | None,
    lifetime: str | None,
    *,
    is_operator: bool,
) -> None:
    """Print only the secret on stdout, for scripts, and the rest on stderr."""
    with _access_file_problems():
        access = tokens.read_access_file(path)
        scopes = [*_known("project", projects, access), *_known("org", orgs, access)]
        roles = dict.fromkeys(scopes, _role(role_name)) if role_name else {}
        if not roles and (role_name or not is_operator):
            raise CannotRun("say where the token is valid: --project ID or --org ID, with --role, or --operator")
        if scopes and not roles:
            raise CannotRun("say what the token may do there: --role")
        expires_at = _expiry(lifetime)
        if user and not service:
            owner = tokens.find_user(access, user)
        elif service and not user:
            owner = tokens.service_account(path, service)
        else:
            raise CannotRun("say whose token it is: --user ID|EMAIL or --service NAME")
        token = tokens.mint_token(path, owner.id, roles, expires_at, is_operator=is_operator)
    _print(Console(), token.secret)
    held = [*([role_name.lower()] if role_name else []), *(["operator"] if is_operator else [])]
    until = f", until {_moment(expires_at)}" if expires_at else ""
    _print(
        Console(stderr=True),
        f"Token {token.id} of {owner.display_name}, {' and '.join(held)}{until}. It is shown this once: keep it.\n"
        f"Send it as  Authorization: Bearer <token>  and end it with  flowpin token revoke {token.id}",
    )


def show(path: Path) -> None:
    with _access_file_problems():
        access = tokens.read_access_file(path)
    names = {user.id: user.display_name for user in access.users}
    scopes = {org.id: org.name for org in access.orgs} | {project.id: project.name for project in access.projects}
    table = Table(box=SIMPLE)
    for header in ("Id", "User", "Roles", "Created", "Expires", "State"):
        table.add_column(header, no_wrap=header in ("Id", "Created"))
    for token in access.tokens:
        held = [f"{role.name.lower()} of {scopes[scope]}" for scope, role in token.roles.items()]
        roles = "\n".join([*held, *(["operator"] if token.operator else [])])
        created = f"{token.created_at:%Y-%m-%d}" if token.created_at else ""
        table.add_row(token.id, names[token.user], roles, created, _moment(token.expires_at), _state(token))
    Console().print(table)


def revoke(path: Path, token_id: str) -> None:
    with _access_file_problems():
        token = tokens.revoke_token(path, token_id)
    _print(
        Console(),
        f"{token.id} is revoked, since {_moment(token.revoked_at)}; every process refuses it within two seconds.",
    )


@contextmanager
def _access_file_problems() -> Iterator[None]:
    try:
        yield
    except AccessFileError as error:
        raise CannotRun(str(error)) from None


def _role(name: str) -> Role:
    role = Role.__members__.get(name.upper())
    if role is None or role is Role.OPERATOR:
        raise CannotRun(f"no role {name} in a project; there are viewer, editor, admin and runner, and --operator")
    return role


def _known(kind: str, ids: Sequence[str], access: AccessFile) -> list[UUID]:
    declared = {str(project.id): project.name for project in access.projects}
    if kind == "org":
        declared = {str(org.id): org.name for org in access.orgs}
    for entry_id in ids:
        if entry_id.lower() not in declared:
            known = ", ".join(f"{known_id} ({name})" for known_id, name in declared.items()) or "none"
            raise CannotRun(f"no {kind} {entry_id}; declared are: {known}")
    return [UUID(entry_id) for entry_id in ids]


def _expiry(lifetime: str | None) -> datetime | None:
    try:
        return tokens.expiry(lifetime) if lifetime else None
    except ValueError as error:
        raise CannotRun(f"--expires {lifetime}: {error}") from None


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {_moment(token.revoked_at)}"
    return "valid" if token.is_valid(datetime.now(UTC)) else "expired"


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z" if moment else "never"


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)

"""Checks of the access file: whether callers can call, and whether there are forgotten tokens."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.postgres.cluster import data_version
from flowpin_cli.terminal import counted
from flowpin_cli.up.identity import DEPLOY_TOKEN_FILE
from service_kit.access.file import AccessFile, AccessFileError, Role, Token, hash_token
from service_kit.access.tokens import read_access_file

SOON = timedelta(days=7)


def examine(path: Path, folder: DataFolder, is_held: bool) -> Iterator[Finding]:
    if not path.exists():
        if data_version(folder) is not None:
            yield problem(
                f"{path} is missing, with the ids of the projects of the data",
                "restore it from a backup: `flowpin up` would create another, which shows none of the data",
            )
        else:
            yield unchecked(f"There is no access file {path} yet", "flowpin up creates one")
        return
    try:
        access = read_access_file(path)
    except AccessFileError as error:
        yield problem(
            f"The access file cannot be used: {error}",
            "correct it; until then running services use the last good one, and none can start",
        )
        return
    yield ok(
        f"{path} declares {counted(len(access.projects), 'project')}, {counted(len(access.users), 'user')} and "
        f"{counted(len(access.tokens), 'token')}"
    )
    yield from _tokens(access, datetime.now(UTC))
    if is_held:
        yield from _kept_secrets(access, folder)


def _tokens(access: AccessFile, now: datetime) -> Iterator[Finding]:
    valid = [token for token in access.tokens if token.is_valid(now)]
    if not valid:
        yield problem("No token is valid, so nobody can call", "flowpin token new --user … --org … --role admin")
    elif not any(Role.ADMIN in token.roles.values() for token in valid):
        yield warning("No valid token has the role admin", "flowpin token new --user … --org … --role admin")
    expired = [token for token in access.tokens if token.revoked_at is None and not token.is_valid(now)]
    if expired:
        yield warning(
            f"Expired: {_names(expired)}", "flowpin token new for those who still need one; remove the old rows"
        )
    ending = [token for token in valid if token.expires_at is not None and token.expires_at < now + SOON]
    if ending:
        yield warning(f"Expiring within a week: {_names(ending)}", "flowpin token new for those who still need one")
    reaching = {project.id for project in access.projects} | {project.org_id for project in access.projects}
    if idle := [token for token in valid if not token.roles.keys() & reaching]:
        yield warning(f"Without a role in any project: {_names(idle)}", "flowpin token revoke, or give them a role")


def _names(tokens: list[Token]) -> str:
    return ", ".join(token.id for token in tokens)


def _kept_secrets(access: AccessFile, folder: DataFolder) -> Iterator[Finding]:
    """Check the tokens that `flowpin up` itself uses."""
    service, person = folder.secret(DEPLOY_TOKEN_FILE), folder.env().get("FLOWPIN_TOKEN")
    if service is not None and not _is_valid(access, service):
        yield problem(
            "The deploy service's own token is not valid: new versions cannot be deployed", "restart `flowpin up`"
        )
    if person is not None and not _is_valid(access, person):
        yield warning(f"The token in {folder.env_file} is not valid", "restart `flowpin up`, which creates another")


def _is_valid(access: AccessFile, secret: str) -> bool:
    digest, now = hash_token(secret), datetime.now(UTC)
    return any(token.sha256 == digest and token.is_valid(now) for token in access.tokens)

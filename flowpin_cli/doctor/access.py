"""Whether the access file lets in who should be let in, and nobody by oversight."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.postgres.cluster import data_version
from flowpin_cli.up.identity import DEPLOY_TOKEN_FILE
from service_kit.access.file import AccessFile, AccessFileError, Role, Token, hash_token
from service_kit.access.tokens import read_access_file

SOON = timedelta(days=7)


def examine(path: Path, folder: DataFolder, is_held: bool) -> Iterator[Finding]:
    if not path.exists():
        if data_version(folder) is not None:
            yield problem(
                f"{path} is gone, and with it the ids of the projects that the data belongs to",
                "put it back, from a backup: `flowpin up` would make another, in which nothing is to be seen",
            )
        else:
            yield unchecked(f"There is no access file {path} yet", "flowpin up makes one")
        return
    try:
        access = read_access_file(path)
    except AccessFileError as error:
        yield problem(
            f"The access file cannot be used: {error}",
            "mend it; until then running services go by the last good one, and none can be started",
        )
        return
    yield ok(
        f"{path} declares {len(access.projects)} projects, {len(access.users)} users and {len(access.tokens)} tokens"
    )
    yield from _tokens(access, datetime.now(UTC))
    if is_held:
        yield from _kept_secrets(access, folder)


def _tokens(access: AccessFile, now: datetime) -> Iterator[Finding]:
    valid = [token for token in access.tokens if token.is_valid(now)]
    if not valid:
        yield problem("No token is valid: nobody can call", "flowpin token new --user … --org … --role admin")
    elif not any(Role.ADMIN in token.roles.values() for token in valid):
        yield warning("No valid token is an admin's", "flowpin token new --user … --org … --role admin")
    expired = [token for token in access.tokens if token.revoked_at is None and not token.is_valid(now)]
    if expired:
        yield warning(f"Expired: {_names(expired)}", "flowpin token new for who still needs one; take the old rows out")
    ending = [token for token in valid if token.expires_at is not None and token.expires_at < now + SOON]
    if ending:
        yield warning(f"Expiring within a week: {_names(ending)}", "flowpin token new for who still needs one")
    reaching = {project.id for project in access.projects} | {project.org_id for project in access.projects}
    if idle := [token for token in valid if not token.roles.keys() & reaching]:
        yield warning(f"Good for no project at all: {_names(idle)}", "flowpin token revoke, or give them a role")


def _names(tokens: list[Token]) -> str:
    return ", ".join(token.id for token in tokens)


def _kept_secrets(access: AccessFile, folder: DataFolder) -> Iterator[Finding]:
    """The tokens that the run itself uses."""
    service, person = folder.secret(DEPLOY_TOKEN_FILE), folder.env().get("FLOWPIN_TOKEN")
    if service is not None and not _is_valid(access, service):
        yield problem(
            "The deploy service's own token is not valid: new versions cannot be deployed", "restart `flowpin up`"
        )
    if person is not None and not _is_valid(access, person):
        yield warning(f"The token in {folder.env_file} is not valid", "restart `flowpin up`, which makes another")


def _is_valid(access: AccessFile, secret: str) -> bool:
    digest, now = hash_token(secret), datetime.now(UTC)
    return any(token.sha256 == digest and token.is_valid(now) for token in access.tokens)

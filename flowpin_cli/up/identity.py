"""Finds or creates the tokens of one machine: one for the person at the terminal, and one for each service."""

import os
import pwd
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from service_kit.access.file import AccessFile, AccessFileError, Role, Token, hash_token
from service_kit.access.tokens import (
    make_operator,
    mint_token,
    read_access_file,
    revoke_token,
    service_account,
    write_first_access_file,
)

DEPLOY_ACCOUNT, RUN_ACCOUNT = "deploy-service", "run-service"

DEPLOY_TOKEN_FILE, RUN_TOKEN_FILE = f"{DEPLOY_ACCOUNT}.token", f"{RUN_ACCOUNT}.token"


@dataclass(frozen=True)
class Identity:
    """The tokens of one run, and the org and project of the person's token."""

    person_token: str
    deploy_token: str
    run_token: str | None
    """None if no apps run."""
    org_id: UUID
    project_id: UUID


def ensure_identity(folder: DataFolder, *, runs_apps: bool = False) -> Identity:
    """Find the tokens of the last run, and create missing ones. Raises CannotRun if access.yaml cannot be used."""
    try:
        return _ensure_identity(folder, runs_apps)
    except AccessFileError as error:
        raise CannotRun(str(error)) from None


def _ensure_identity(folder: DataFolder, runs_apps: bool) -> Identity:
    path = folder.access_file
    if not path.exists():
        write_first_access_file(path, pwd.getpwuid(os.geteuid()).pw_name)
    env = folder.env()
    access = read_access_file(path)
    if not access.projects:
        raise AccessFileError(f"{path}: declares no project")
    project = next((p for p in access.projects if str(p.id) == env.get("FLOWPIN_PROJECT_ID")), access.projects[0])
    person_token = env.get("FLOWPIN_TOKEN", "")
    kept = _find_valid(access, person_token)
    if kept:
        make_operator(path, kept.id)  # tokens from releases without this role lack it
    else:
        person = next((user for user in access.users if not user.service), None)
        if person is None:
            raise AccessFileError(f"{path}: declares no person to make a token for")
        person_token = mint_token(path, person.id, {project.org_id: Role.ADMIN}, is_operator=True).secret
    deploy_token = _service_token(folder, access, DEPLOY_ACCOUNT, Role.VIEWER)
    run_token = _service_token(folder, read_access_file(path), RUN_ACCOUNT, Role.RUNNER) if runs_apps else None
    return Identity(person_token, deploy_token, run_token, project.org_id, project.id)


def _service_token(folder: DataFolder, access: AccessFile, account_name: str, role: Role) -> str:
    """The token of a service account in every org. It is stored in a file named after the account."""
    kept = folder.secret(f"{account_name}.token") or ""
    token = _find_valid(access, kept)
    if token and all(org.id in token.roles for org in access.orgs):
        return kept
    if token:
        revoke_token(folder.access_file, token.id)  # orgs were added; a token for all replaces it
    account = service_account(folder.access_file, account_name)
    new = mint_token(folder.access_file, account.id, dict.fromkeys((org.id for org in access.orgs), role))
    folder.keep_secret(f"{account_name}.token", new.secret)
    return new.secret


def _find_valid(access: AccessFile, secret: str) -> Token | None:
    now = datetime.now(UTC)
    return next((t for t in access.tokens if t.sha256 == hash_token(secret) and t.is_valid(now)), None)

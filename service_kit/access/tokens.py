"""Creates, lists and revokes tokens in access.yaml, and writes the first access.yaml."""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from service_kit.access.file import (
    TOKEN_PREFIX,
    AccessFile,
    AccessFileError,
    Role,
    Token,
    User,
    hash_token,
    parse_access_file,
)
from service_kit.access.yaml_edit import CannotEdit, append_row, set_field
from service_kit.files import replace_file
from service_kit.ids import new_id

SECRET_BYTES = 32
HEADER = """\
# Who may call Flowpin: read at start and again when it changes (a revocation holds within two seconds).
# Tokens are kept as SHA-256 hashes; make one with `flowpin token new`, end one with `flowpin token revoke`.
"""


@dataclass(frozen=True)
class NewToken:
    """A new token for its owner. Its secret is stored nowhere else."""

    id: str
    secret: str


def read_access_file(path: Path) -> AccessFile:
    """The file's content. Raises AccessFileError if it is missing or invalid."""
    return _parse(path, _read(path))


def mint_token(
    path: Path,
    user: UUID,
    roles: Mapping[UUID, Role],
    expires_at: datetime | None = None,
    *,
    is_operator: bool = False,
) -> NewToken:
    """Add a token to the file and return it. Raises AccessFileError for a user, project or org that is not declared."""
    token = NewToken(id=f"tok_{secrets.token_hex(5)}", secret=TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES))
    row: dict[str, Any] = {
        "id": token.id,
        "user": str(user),
        "sha256": hash_token(token.secret),
        "roles": {str(scope): role.name.lower() for scope, role in roles.items()},
        "created_at": _timestamp(datetime.now(UTC)),
    }
    if is_operator:
        row["operator"] = True
    if expires_at is not None:
        row["expires_at"] = _timestamp(expires_at)
    with _locked(path):
        text = _read(path)
        _parse(path, text)
        _write(path, append_row(text, "tokens", row))
    return token


def revoke_token(path: Path, token_id: str) -> Token:
    """Mark a token as revoked and return it. Raises AccessFileError if no token has this id."""
    return _set_once(path, token_id, "revoked_at", _timestamp(datetime.now(UTC)))


def make_operator(path: Path, token_id: str) -> Token:
    """Give a token the role operator, unless its entry already has the field `operator`. Raises AccessFileError like
    revoke_token."""
    return _set_once(path, token_id, "operator", True)


def _set_once(path: Path, token_id: str, field: str, value: str | bool) -> Token:
    with _locked(path):
        text = _read(path)
        tokens = _parse(path, text).tokens
        index = next((index for index, token in enumerate(tokens) if token.id == token_id), None)
        if index is None:
            raise AccessFileError(f"{path}: no token {token_id}; `flowpin token list` shows all")
        if tokens[index].model_dump(exclude_unset=True).get(field) is None:
            text = set_field(text, "tokens", index, field, value)
            _write(path, text)
        return _parse(path, text).tokens[index]


def find_user(access: AccessFile, id_or_email: str) -> User:
    """The user with this id or email. Raises AccessFileError if there is not exactly one."""
    wanted = id_or_email.lower()
    found = [user for user in access.users if wanted == str(user.id) or (user.email and wanted == user.email.lower())]
    if len(found) == 1:
        return found[0]
    known = ", ".join(user.email or user.name or str(user.id) for user in access.users)
    raise AccessFileError(
        f"{'no' if not found else 'more than one'} user {id_or_email}; declared are: {known or 'none'}"
    )


def expiry(lifetime: str) -> datetime:
    """The time at which a lifetime such as 90m, 12h, 30d or 8w ends. Raises ValueError for other texts."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", lifetime)
    if match is None:
        raise ValueError("must be a number and one of m, h, d, w, as in 30d")
    unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return datetime.now(UTC) + timedelta(**{unit: int(match[1])})


def service_account(path: Path, name: str) -> User:
    """The service account with this name. It is added to the file if needed."""
    with _locked(path):
        text = _read(path)
        for user in _parse(path, text).users:
            if user.service and user.name == name:
                return user
        user = User(id=new_id(), name=name, service=True)
        _write(path, append_row(text, "users", {"id": str(user.id), "name": name, "service": True}))
        return user


def write_first_access_file(path: Path, login: str) -> None:
    """Write an access file with an org, a project and a person. Tokens are added later."""
    org, project, person = new_id(), new_id(), new_id()
    text = f"""\
{HEADER}
orgs:
  - id: {org}
    name: Local

projects:
  - id: {project}
    name: default
    org_id: {org}
    environments: [production]  # in promotion order; the last one is the default of every call

users:
  - id: {person}
    email: {json.dumps(f"{login}@localhost")}
    first_name: {json.dumps(login)}

tokens: []
"""
    _parse(path, text)
    replace_file(path, text)


@dataclass
class OpenFile:
    """The content and the text of the locked access file."""

    path: Path
    text: str
    access: AccessFile

    def write(self, text: str) -> None:
        """Replace the text. Raises AccessFileError, and changes nothing, if it is not a valid access file."""
        _write(self.path, text)


@contextmanager
def changed(path: Path) -> Iterator[OpenFile]:
    """The file, locked until the block ends. Raises AccessFileError."""
    with _locked(path):
        text = _read(path)
        yield OpenFile(path, text, _parse(path, text))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Lock the folder, not the file, because each change replaces the file.
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise AccessFileError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    except CannotEdit as error:
        raise AccessFileError(f"{path}: {error}; nothing was changed") from None
    finally:
        os.close(folder)


def _read(path: Path) -> str:
    try:
        # Not read_text(), because it would change \r\n to \n.
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise AccessFileError(f"there is no access file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AccessFileError(f"{path}: {error}") from None


def _parse(path: Path, text: str) -> AccessFile:
    try:
        return parse_access_file(text)
    except AccessFileError as error:
        raise AccessFileError(f"{path}: {error}") from None


def _write(path: Path, text: str) -> None:
    _parse(path, text)
    try:
        replace_file(path.resolve(), text)
    except OSError as error:
        raise AccessFileError(f"{path}: cannot be written: {error.strerror}") from None


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

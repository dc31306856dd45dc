"""One-time sign-in links: `flowpin up` writes one to a private file, and the first person who opens it is signed in.

The link contains a random code. The file has the code's hash and the token. So no URL, browser history or log contains
the token, and the link is useless without the file. Using the link removes the file.
"""

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from service_kit.files import replace_file

VALID_SECONDS = 3600.0
MAX_FILE_BYTES = 4096


class Kept(msgspec.Struct, frozen=True):
    """The content of the file."""

    code_sha256: str
    token: str
    expires_at: float
    """Seconds since 1970."""


def new_link(file: Path, token: str) -> str:
    """Create a link and return its path. It replaces an older one in `file`."""
    code = secrets.token_urlsafe(32)
    kept = Kept(_hash(code), token, time.time() + VALID_SECONDS)
    replace_file(file, msgspec.json.encode(kept).decode())
    return f"/sign-in/{code}"


def is_good(file: Path | None, code: str) -> bool:
    """Whether the link is valid now. This does not use it."""
    return file is not None and _read(file, code) is not None


def take_token(file: Path | None, code: str) -> str | None:
    """Use the link and return its token. None when it is unknown, expired or already used."""
    if file is None or _read(file, code) is None:
        return None
    taken = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        # Only one of several concurrent users, in any process, can rename it.
        file.rename(taken)
    except OSError:
        return None
    try:
        kept = _read(taken, code)
    finally:
        with suppress(FileNotFoundError):
            taken.unlink()
    return kept.token if kept is not None else None


def _read(file: Path, code: str) -> Kept | None:
    try:
        with file.open("rb") as opened:
            kept = msgspec.json.decode(opened.read(MAX_FILE_BYTES), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    is_it = hmac.compare_digest(kept.code_sha256, _hash(code))
    return kept if is_it and time.time() < kept.expires_at else None


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()

"""The private file in the user's config folder in which `flowpin login` stores logins, by URL of the gateway."""

import fcntl
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flowpin_cli.errors import CannotRun

if TYPE_CHECKING:
    from service_kit.openid.provider import Client

EARLY_SECONDS = 10.0
"""A token that expires within this time counts as expired."""
LOCK_SECONDS = 45.0
"""How long to wait for the lock. Another command's refresh takes at most three requests of ten seconds."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Login:
    """A person's token for an installation, and the data to refresh it."""

    issuer: str
    client_id: str
    audience: str
    subject: str
    """The claim `sub` of the person."""
    token: str
    expires_at: float
    """Seconds since 1970."""
    refresh_token: str = ""
    """Empty if the issuer gave none."""
    scope: str = ""
    """The requested scope. Empty for the default."""
    client_secret: str = field(default="", repr=False)
    """Empty for a public client."""

    def is_expired(self) -> bool:
        return time.time() > self.expires_at - EARLY_SECONDS

    @property
    def client(self) -> "Client":
        from service_kit.openid.provider import Client

        return Client(self.client_id, self.audience, self.client_secret, self.scope)

    @property
    def command(self) -> str:
        """The command that repeats this sign-in."""
        words = ["flowpin", "login", "--issuer", self.issuer, "--client-id", self.client_id]
        if self.audience != self.client_id:
            words += ["--audience", self.audience]
        if self.scope:
            words += ["--scope", self.scope]
        return shlex.join(words)


def file_in(environ: Mapping[str, str]) -> Path:
    """The file of this user. A relative XDG_CONFIG_HOME is ignored, as the XDG specification requires."""
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():
        folder = _home() / ".config"
    return folder / "flowpin" / "logins.json"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # in a container: HOME is not set, and the user has no account
        return Path("/")


def login_at(url: str, file: Path) -> Login | None:
    """The login at the gateway with this URL. Raises CannotRun if the file is damaged or others can read it."""
    return _read(file).get(url)


def keep(url: str, login: Login, file: Path) -> None:
    """Replace the login at this URL. The caller must hold the lock."""
    _write(_read(file) | {url: login}, file)


def forget(url: str, file: Path) -> Login | None:
    """Remove the login at this URL and return it. The caller must hold the lock."""
    logins = _read(file)
    removed = logins.pop(url, None)
    if removed is not None:
        _write(logins, file)
    return removed


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Lock the file, because an issuer may accept a refresh token only once.

    Raises CannotRun, also if another command holds it for longer than LOCK_SECONDS.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CannotRun(f"{file.parent} cannot be used: {error.strerror}") from None
    try:
        _take(lock, file)
        yield
    finally:
        os.close(lock)


def _take(lock: int, file: Path) -> None:
    ends_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                raise CannotRun(f"another command holds {file} for {LOCK_SECONDS:g} seconds; try again") from None
        except OSError as error:
            raise CannotRun(f"{file} cannot be locked: {error.strerror}") from None
        time.sleep(LOOK_SECONDS)


def _read(file: Path) -> dict[str, Login]:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            content = opened.read()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        raise CannotRun(f"{file} must belong to you, and only you may read it; chmod 600 it, or remove it")
    try:
        return {str(url): Login(**row) for url, row in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError):
        raise CannotRun(f"{file} is damaged; remove it and run `flowpin login` again") from None


def _write(logins: Mapping[str, Login], file: Path) -> None:
    from service_kit.files import replace_file

    rows = {url: asdict(login) for url, login in logins.items()}
    try:
        replace_file(file, json.dumps(rows, indent=2) + "\n")
    except OSError as error:
        raise CannotRun(f"{file} cannot be written: {error.strerror}") from None

"""TLS of listeners and channels, from files that may be replaced while the process runs.

New connections use the new files; open connections continue. gRPC is imported only where it is used, because processes
that only serve HTTP do not need it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from service_kit.lifecycle import in_background

if TYPE_CHECKING:
    import grpc

LOOK_SECONDS = 1.0
"""Seconds between two checks for changed files."""

log = structlog.get_logger()


class TlsError(Exception):
    """The files cannot be used. The message names the file, and contains nothing of its content."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. A listener needs `cert` and `key`, a channel `ca`."""

    cert: Path | None = None
    """The certificate, followed by its intermediates."""
    key: Path | None = None
    ca: Path | None = None
    """The authorities that check the other side's certificate. For a listener, this means that callers must have
    one."""

    def read(self) -> "Pems":
        """Raises TlsError."""
        return Pems(_read(self.cert), _read(self.key), _read(self.ca))

    def context(self) -> ssl.SSLContext:
        """The context for a listener. Raises TlsError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            if self.cert is None or self.key is None:
                raise TlsError("a listener needs a certificate and its key")
            context.load_cert_chain(self.cert, self.key, password="")
            if self.ca is not None:
                context.load_verify_locations(self.ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise TlsError(f"{self.cert}, {self.key} or {self.ca} cannot be used: {_reason(error)}") from None
        return context


@dataclass(frozen=True, slots=True)
class Pems:
    cert: bytes | None
    key: bytes | None
    ca: bytes | None


class Followed:
    """Files, and their last usable content."""

    def __init__(self, files: TlsFiles, check: Callable[[TlsFiles], Any]) -> None:
        """`check` creates an object from the files. It raises TlsError, and so does this."""
        self._files = files
        self._check = check
        self.pems = files.read()
        self.made = check(files)
        self.number = 0
        """Counts the changes."""

    async def follow(self, changed: Callable[[], None] = lambda: None) -> None:
        """Load changed files, until canceled. If they cannot be used, the last good content remains."""
        problem = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                pems = await asyncio.to_thread(self._files.read)
                if pems == self.pems:
                    problem = ""
                    continue
                self.made = await asyncio.to_thread(self._check, self._files)
            except TlsError as error:
                if str(error) != problem:
                    log.error("tls_files_refused", error=str(error))
                problem = str(error)
                continue
            self.pems, self.number, problem = pems, self.number + 1, ""
            log.info("tls_files_loaded", cert=str(self._files.cert))
            changed()


class ListenerTls:
    """The TLS of a process's listeners."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError."""
        self._followed = Followed(files, TlsFiles.context)
        self.files = files
        self.context: ssl.SSLContext = files.context()
        self.attach(self.context)

    async def follow(self) -> None:
        """Load changed files until canceled."""
        await self._followed.follow()

    def attach(self, context: ssl.SSLContext) -> None:
        """Make each handshake of a listener with this context use the current files."""
        context.sni_callback = self._use_current

    def _use_current(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called for each handshake, even if the client names no server."""
        connection.context = self._followed.made

    def credentials(self) -> "grpc.ServerCredentials":
        """The credentials of a gRPC server."""
        import grpc

        followed, seen = self._followed, [self._followed.number]

        def configuration() -> Any:
            pems = followed.pems
            pair: Any = (pems.key, pems.cert)  # both exist, because the context was created from them
            return grpc.ssl_server_certificate_configuration([pair], root_certificates=pems.ca)

        def newer() -> Any:
            if seen[0] == followed.number:
                return None
            seen[0] = followed.number
            return configuration()

        return grpc.dynamic_ssl_server_credentials(
            configuration(), newer, require_client_authentication=followed.pems.ca is not None
        )


@asynccontextmanager
async def listener_tls(files: TlsFiles | None) -> AsyncIterator[ListenerTls | None]:
    """TLS of the process's listeners, which follows the files until the block ends. Raises TlsError."""
    if files is None:
        yield None
        return
    tls = ListenerTls(files)
    async with in_background(tls.follow()):
        yield tls


def warn_without_tls(listen: str, tls: ListenerTls | None) -> None:
    """Log a warning when a listener without TLS can be reached over a network."""
    if tls is None and not is_loopback(listen):
        log.warning("listener_not_encrypted", address=listen)


def is_loopback(listen: str) -> bool:
    """Whether host:port can be reached only from this machine."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """How a channel checks services' certificates, and the certificate that it shows."""

    files: TlsFiles
    server_name: str | None
    """The name that services' certificates must have. None for the host of the first target."""


def channel_credentials(files: TlsFiles) -> "grpc.ChannelCredentials":
    """Raises TlsError."""
    import grpc

    pems = files.read()
    return grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__

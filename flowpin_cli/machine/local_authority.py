"""The certificate authority of one data folder, for `flowpin up --tls`: it signs the listeners' certificate.

Trusting `ca.pem` means trusting only this installation, because its key never leaves the folder.
"""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from service_kit.files import replace_file

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""Browsers refuse longer certificates of public authorities. For private ones they accept them, but a year is
enough."""
RENEWED_DAYS = 30
"""The next start replaces a certificate that expires within this time."""


class LocalAuthority:
    """Files in a folder of mode 700: `ca.pem`, `ca-key.pem`, `cert.pem` and `key.pem`."""

    def __init__(self, folder: Path) -> None:
        self.ca, self._ca_key = folder / "ca.pem", folder / "ca-key.pem"
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self._folder = folder

    def prepare(self, *hosts: str) -> None:
        """Create files that are missing or expire soon. The certificate is for `hosts`, this machine's name and
        loopback."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        names = sorted({"localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts} - {"0.0.0.0", "::", ""})  # noqa: S104
        if not _lasts(self.ca) or not self._ca_key.exists():
            self._make_authority()
            self.cert.unlink(missing_ok=True)
        if not _lasts(self.cert) or not self.key.exists() or not _is_for(self.cert, names):
            self._issue(names)

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Flowpin on {socket.gethostname()}")
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        replace_file(self._ca_key, _pem(key))
        replace_file(self.ca, certificate.public_bytes(serialization.Encoding.PEM).decode())

    def _issue(self, names: list[str]) -> None:
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signer = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - as `_make_authority` has made it
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name("Flowpin"), authority.subject, key.public_key(), CERTIFICATE_DAYS)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        replace_file(self.key, _pem(key))
        replace_file(self.cert, certificate.public_bytes(serialization.Encoding.PEM).decode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # because clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _lasts(path: Path) -> bool:
    """Whether the certificate exists and does not expire soon."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEWED_DAYS)


def _is_for(path: Path, names: list[str]) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {_general_name(name) for name in names} <= set(found)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()

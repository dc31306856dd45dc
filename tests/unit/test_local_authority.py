"""The certificates of `flowpin up --tls`."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from flowpin_cli.machine import local_authority
from flowpin_cli.machine.local_authority import LocalAuthority


@pytest.fixture
def authority(tmp_path: Path) -> LocalAuthority:
    authority = LocalAuthority(tmp_path / "tls")
    authority.prepare("flowpin.test")
    return authority


def names(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def shake_hands(authority: LocalAuthority, host: str) -> None:
    """Connect as a client that trusts the authority. Raises ssl.SSLError if the certificate is not for this host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.cert, authority.key)
    trusting = ssl.create_default_context(cafile=authority.ca)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_a_client_of_the_local_authority_trusts_this_machines_certificate(authority: LocalAuthority):
    for host in ("localhost", "127.0.0.1", "::1", "flowpin.test"):
        shake_hands(authority, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority, "elsewhere.test")


def test_only_the_owner_can_read_the_files_of_the_local_authority(authority: LocalAuthority):
    modes = {path.name: path.stat().st_mode & 0o777 for path in authority.ca.parent.iterdir()}

    assert set(modes.values()) == {0o600}
    assert authority.ca.parent.stat().st_mode & 0o777 == 0o700


def test_valid_certificates_are_kept(authority: LocalAuthority):
    before = {path: path.read_bytes() for path in authority.ca.parent.iterdir()}

    authority.prepare("flowpin.test")

    assert {path: path.read_bytes() for path in authority.ca.parent.iterdir()} == before


def test_a_new_host_gets_a_certificate_of_the_same_authority(authority: LocalAuthority):
    before = authority.ca.read_bytes()

    authority.prepare("another.test", "0.0.0.0")

    assert authority.ca.read_bytes() == before
    assert "another.test" in names(authority.cert)
    assert "0.0.0.0" not in names(authority.cert)
    shake_hands(authority, "another.test")


def test_a_certificate_near_its_expiry_is_replaced_and_the_authority_kept(
    authority: LocalAuthority, monkeypatch: pytest.MonkeyPatch
):
    authority.cert.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(local_authority, "CERTIFICATE_DAYS", local_authority.RENEWED_DAYS - 1)
        authority.prepare()
    before = authority.ca.read_bytes()

    authority.prepare()

    certificate = x509.load_pem_x509_certificate(authority.cert.read_bytes())
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=390)
    assert authority.ca.read_bytes() == before


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"])
def test_a_lost_file_of_the_local_authority_is_made_again(authority: LocalAuthority, name: str):
    (authority.ca.parent / name).unlink()

    authority.prepare()

    shake_hands(authority, "localhost")

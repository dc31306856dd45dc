"""The token of `flowpin login` is kept in a private file, refreshed once, and used where it belongs."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from flowpin_cli.errors import CannotRun, NotPermitted
from flowpin_cli.login import kept
from flowpin_cli.login.kept import Login
from flowpin_cli.login.renewal import renewed, revoke
from flowpin_cli.rest.installation import installation_of
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.token_issuer import running_issuer

URL = "https://flowpin.test"
LOGIN = Login("https://sso.test", CLIENT, CLIENT, "ada", "the-token", time.time() + 600, "the-refresh-token")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return kept.file_in({"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.fixture
async def issuer() -> AsyncIterator[LoginIssuer]:
    async with running_issuer(LoginIssuer) as issuer:
        issuer.generation = 1
        yield issuer


def keep(login: Login, file: Path, url: str = URL) -> Login:
    with kept.locked(file):
        kept.keep(url, login, file)
    return login


def expired(issuer: LoginIssuer, refresh_token: str = "refresh-1") -> Login:
    return replace(LOGIN, issuer=issuer.url, expires_at=time.time() - 1, refresh_token=refresh_token)


def test_the_login_file_is_in_the_users_config_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert kept.file_in({"XDG_CONFIG_HOME": "/etc/ada"}) == Path("/etc/ada/flowpin/logins.json")
    for environ in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert kept.file_in(environ) == tmp_path / ".config" / "flowpin" / "logins.json"


def test_only_the_user_can_read_the_login_file_and_its_folder(file):
    keep(LOGIN, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_login_file_that_others_can_use_is_refused(file, mode):
    keep(LOGIN, file)
    file.chmod(mode)

    with pytest.raises(CannotRun, match="chmod 600"):
        kept.login_at(URL, file)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"token": "t"}}', '{"a": {"secret": "the-token"}}'])
def test_a_damaged_login_file_is_reported_without_its_content(file, text):
    keep(LOGIN, file)
    file.write_text(text)

    with pytest.raises(CannotRun, match="is damaged; remove it") as refused:
        kept.login_at(URL, file)

    assert "the-token" not in str(refused.value)


def test_each_installation_has_its_own_login(file):
    keep(LOGIN, file)
    other = keep(replace(LOGIN, token="other"), file, "https://other.test")

    with kept.locked(file):
        assert kept.forget(URL, file) == LOGIN
        assert kept.forget(URL, file) is None
    assert kept.login_at(URL, file) is None
    assert kept.login_at("https://other.test", file) == other


@pytest.mark.parametrize(
    ("environ", "token"),
    [
        ({"FLOWPIN_URL": f"{URL}/"}, "the-token"),
        ({"FLOWPIN_URL": URL, "FLOWPIN_TOKEN": "given"}, "given"),
        ({}, "the-token"),  # of the data folder's installation, with precedence over the token in its file
    ],
)
def test_the_login_is_used_when_no_token_is_given(file, tmp_path, monkeypatch, environ, token):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".flowpin").mkdir(mode=0o700)
    (tmp_path / ".flowpin" / "env").write_text(f"export FLOWPIN_URL={URL}\nexport FLOWPIN_TOKEN=kept\n")
    (tmp_path / ".flowpin" / "env").chmod(0o600)
    keep(LOGIN, file)

    assert installation_of(None, {"XDG_CONFIG_HOME": str(tmp_path), **environ}).token == token


def test_the_login_is_not_sent_to_another_installation(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keep(LOGIN, file)

    with pytest.raises(CannotRun, match="or run `flowpin login`"):
        installation_of(None, {"XDG_CONFIG_HOME": str(tmp_path), "FLOWPIN_URL": "https://other.test"})


async def test_an_expired_token_is_refreshed_and_kept(issuer, file, tmp_path):
    keep(expired(issuer), file)
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "FLOWPIN_URL": URL}

    installation = await asyncio.to_thread(installation_of, None, environ)

    assert installation.token not in ("the-token", "")
    assert kept.login_at(URL, file).token == installation.token
    assert kept.login_at(URL, file).refresh_token == "refresh-2"
    assert kept.login_at(URL, file).expires_at > time.time() + 500
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_concurrent_commands_refresh_a_token_once(issuer, file):
    keep(expired(issuer), file)

    tokens = await asyncio.gather(*(asyncio.to_thread(renewed, URL, "the-token", file) for _ in range(5)))

    assert len(set(tokens)) == 1
    assert [form["grant_type"] for form in issuer.forms] == ["refresh_token"]


@pytest.mark.parametrize("refresh_token", ["", "refresh-0"])
async def test_a_sign_in_that_cannot_be_refreshed_names_the_command(issuer, file, refresh_token):
    keep(expired(issuer, refresh_token), file)

    with pytest.raises(NotPermitted, match=f"flowpin login --issuer {issuer.url} --client-id {CLIENT}$") as refused:
        await asyncio.to_thread(renewed, URL, "the-token", file)

    assert "the-token" not in str(refused.value)


async def test_a_refreshed_token_of_another_person_is_not_kept(issuer, file):
    login = keep(expired(issuer), file)
    issuer.id_changes = {"sub": "eve"}

    with pytest.raises(CannotRun, match="another person's"):
        await asyncio.to_thread(renewed, URL, "the-token", file)

    assert kept.login_at(URL, file) == login


async def test_a_login_is_revoked_where_the_issuer_offers_that(issuer):
    assert await asyncio.to_thread(revoke, expired(issuer))
    assert issuer.forms == [{"token": "refresh-1", "client_id": CLIENT}]

    issuer.document_changes = {"revocation_endpoint": None}
    assert not await asyncio.to_thread(revoke, expired(issuer))


def test_the_wait_for_another_command_ends(file, monkeypatch):
    monkeypatch.setattr(kept, "LOCK_SECONDS", 0.1)

    with kept.locked(file), pytest.raises(CannotRun, match="another command holds"), kept.locked(file):
        pass

    with kept.locked(file):
        pass


def test_the_login_file_has_only_what_a_refresh_needs(file):
    keep(LOGIN, file)

    assert json.loads(file.read_text()).keys() == {URL}
    assert kept.login_at(URL, file) == LOGIN

"""`flowpin login` and `flowpin logout` as processes, against real services."""

import stat
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml

from tests.support.commands import Commands
from tests.support.login_command import change_login, kept_login, login, login_on_device, logins_file, person_at
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.stack import Stack
from tests.support.token_issuer import running_issuer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def issuer() -> AsyncIterator[LoginIssuer]:
    async with running_issuer(LoginIssuer) as issuer:
        yield issuer


@pytest.fixture
async def ada(stack: Stack, issuer: LoginIssuer, tmp_path) -> Commands:
    """The command line of Ada, with an installation that accepts tokens of the issuer."""
    grant = {"subject": "ada", "roles": {str(stack.people.project): "editor"}}
    row = issuer.declared(grant, audience=CLIENT)
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [row]}))
    headers = {"Authorization": f"Bearer {issuer.token(aud=CLIENT)}"}

    async def is_declared() -> bool:
        paths = ("/v1/me", f"/v1/apps?project_id={stack.people.project}")
        return {(await stack.rest("GET", path, token=None, headers=headers)).status for path in paths} == {200}

    await eventually(is_declared, 15)
    return person_at(stack, tmp_path, issuer.url, CLIENT)


async def visit(link: str) -> None:
    async with aiohttp.ClientSession() as browser, browser.get(link) as page:
        assert page.status == 200


async def test_a_person_logs_in_uses_commands_and_logs_out(ada, issuer):
    issuer.id_changes = {"email": "ada@acme.test"}
    before = await ada("workflow", "list")
    signed_in = await login(ada, visit)
    row = kept_login(ada)
    listed = await ada.done("workflow", "list")
    apps = await ada.done("app", "list", "--json")
    signed_out = await ada.done("logout")
    again = await ada.done("logout")
    after = await ada("workflow", "list")

    assert "run `flowpin login`" in before.error
    assert signed_in.code == 0
    assert signed_in.error.endswith("as ada@acme.test.\n")
    assert stat.S_IMODE(logins_file(ada).stat().st_mode) == 0o600
    for said in (signed_in, listed, signed_out):
        assert not any(secret in said.out + said.error for secret in (row["token"], row["refresh_token"]))
    assert apps.json == []
    assert "Signed out" in signed_out.error
    assert issuer.forms[-1] == {"token": row["refresh_token"], "client_id": CLIENT}
    assert "There was no sign-in" in again.error
    assert (after.code, "run `flowpin login`" in after.error) == (1, True)


async def test_an_expired_login_is_refreshed_and_otherwise_names_the_command_to_log_in(ada, issuer):
    await login(ada, visit)
    expired = issuer.token(aud=CLIENT, exp=1)

    change_login(ada, token=expired, expires_at=1)
    await ada.done("workflow", "list")
    renewed = kept_login(ada)["token"]
    change_login(ada, token=expired)  # the services refuse the token though the file says it is valid
    await ada.done("workflow", "list")
    issuer.generation += 1  # the refresh token is not valid any more
    change_login(ada, expires_at=1)
    ended = await ada("workflow", "list")

    assert renewed != expired
    assert [form["grant_type"] for form in issuer.forms[1:]] == ["refresh_token"] * 3
    assert ended.code == 4
    assert f"sign in again: flowpin login --issuer {issuer.url} --client-id {CLIENT}" in ended.error


async def test_a_token_that_the_installation_refuses_is_not_kept(ada, issuer):
    issuer.access_token = issuer.token(aud="other", sub="ada")

    refused = await login(ada, visit, "--audience", "other")

    assert refused.code == 4
    assert f"must have the issuer {issuer.url} with the audience other" in refused.error
    assert issuer.access_token not in refused.error
    assert not logins_file(ada).exists()


async def test_a_token_of_the_environment_takes_precedence_over_the_login(ada, stack):
    await login(ada, visit)

    refused = await ada("workflow", "list", FLOWPIN_TOKEN="dyn_pat_unknown")
    allowed = await ada.done("workflow", "list", FLOWPIN_TOKEN=stack.people.secret("viewer"))

    assert refused.code == 4
    assert "flowpin login" not in refused.error
    assert allowed.code == 0


async def test_flowpin_login_with_a_device_code_signs_in(ada, issuer):
    issuer.device_answer = {"interval": 0.1}
    issuer.device_errors = ["authorization_pending"]

    async def type_code(page: str, code: str) -> None:
        assert (page, code) == (f"{issuer.url}/device", "WDJB-MJHT")

    signed_in = await login_on_device(ada, type_code)
    await ada.done("workflow", "list")

    assert signed_in.code == 0, signed_in.error
    assert "type the code" in signed_in.error
    assert signed_in.out == f"{issuer.url}/device\nWDJB-MJHT\n"


async def test_flowpin_login_without_a_browser_prints_a_device_code(ada, issuer):
    issuer.device_answer = {"interval": 0.1}

    signed_in = await ada("login", PATH="/nonexistent")

    assert signed_in.code == 0, signed_in.error
    assert "WDJB-MJHT" in signed_in.out


async def test_flowpin_login_with_a_client_secret_signs_in_and_refreshes(ada, issuer):
    issuer.secret = "of-the-client"
    await login(Commands(ada.folder, {**ada.environ, "FLOWPIN_CLIENT_SECRET": issuer.secret}), visit)
    change_login(ada, expires_at=1)

    listed = await ada.done("workflow", "list")

    assert [form["grant_type"] for form in issuer.forms] == ["authorization_code", "refresh_token"]
    assert issuer.secret not in listed.out + listed.error

"""A sign-in with another device: the command polls as often as the issuer allows, for a limited time."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowpin_cli.login import device
from service_kit.openid.fetching import IssuerFailed, IssuerRefused
from service_kit.openid.provider import Client, discover
from service_kit.openid.tokens import Tokens
from tests.support.login_issuer import CLIENT, DEVICE_GRANT, LoginIssuer
from tests.support.token_issuer import running_issuer


@pytest.fixture
async def issuer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoginIssuer]:
    monkeypatch.setattr(device, "INTERVAL_SECONDS", 0.2)
    async with running_issuer(LoginIssuer) as issuer:
        yield issuer


async def signed_in(issuer: LoginIssuer, seconds: float = 5, **changes: Any) -> tuple[Tokens, list[tuple[str, str]]]:
    """Sign in. Returns the tokens and what was shown."""
    shown: list[tuple[str, str]] = []
    client = Client(**{"id": CLIENT, "audience": CLIENT, **changes})
    tokens = await device.sign_in(await discover(issuer.url), client, lambda *said: shown.append(said), seconds)
    return tokens, shown


def questions(issuer: LoginIssuer) -> list[dict[str, str]]:
    return [form for form in issuer.forms if form.get("grant_type") == DEVICE_GRANT]


async def test_a_person_types_a_code_on_another_device_and_the_command_gets_the_token(issuer):
    issuer.device_errors = ["authorization_pending", "authorization_pending"]

    tokens, shown = await signed_in(issuer)

    assert (tokens.subject, tokens.refresh_token) == ("ada", "refresh-1")
    assert shown == [(f"{issuer.url}/device", "WDJB-MJHT")]
    assert issuer.forms[0] == {"scope": "openid email offline_access", "client_id": CLIENT}
    assert len(questions(issuer)) == 3


async def test_a_device_sign_in_requests_an_access_token_for_the_audience(issuer):
    issuer.access_token = issuer.token(aud="https://flowpin.test", sub="ada")

    tokens, _ = await signed_in(issuer, audience="https://flowpin.test")

    assert tokens.token == issuer.access_token
    assert issuer.forms[0]["resource"] == questions(issuer)[0]["resource"] == "https://flowpin.test"


async def test_a_device_sign_in_polls_less_often_when_the_issuer_asks_for_it(issuer):
    issuer.device_errors = ["slow_down", "slow_down"]
    started = time.monotonic()

    await signed_in(issuer)

    assert time.monotonic() - started >= 0.01 + 0.21 + 0.41


@pytest.mark.parametrize("error", ["expired_token", "access_denied", "invalid_grant"])
async def test_a_refused_or_expired_device_sign_in_ends_the_wait(issuer, error):
    issuer.device_errors = [error]

    with pytest.raises(IssuerRefused, match=error):
        await signed_in(issuer)

    assert len(questions(issuer)) == 1


@pytest.mark.parametrize(("seconds", "expires_in"), [(0.3, 600), (60, 0.3), (0.3, "never"), (0.3, -1)])
async def test_the_wait_for_a_device_sign_in_ends_with_the_code_or_the_timeout(issuer, seconds, expires_in):
    issuer.device_answer = {"expires_in": expires_in}
    issuer.device_errors = ["authorization_pending"] * 1000
    started = time.monotonic()

    with pytest.raises(IssuerFailed, match="nobody signed in in time;"):
        await signed_in(issuer, seconds)

    assert time.monotonic() - started < 3


async def test_a_device_sign_in_retries_an_unreachable_issuer_and_then_reports_it(issuer):
    issuer.token_error = (503, {})

    with pytest.raises(IssuerFailed, match=r"in time \(127.0.0.1:\d+/token answers 503\)"):
        await signed_in(issuer, 0.5)

    assert 2 <= len(questions(issuer)) <= 7  # each pause is twice the previous one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_code": None}, "no device code"),
        ({"user_code": 7}, "no device code"),
        ({"verification_uri": "http://elsewhere.test"}, "must be https"),
        ({"verification_uri": "javascript:alert(1)"}, "must be https"),
    ],
)
async def test_an_invalid_answer_to_a_device_sign_in_is_reported(issuer, changes, message):
    issuer.device_answer = changes

    with pytest.raises(IssuerFailed, match=message):
        await signed_in(issuer)


async def test_a_device_sign_in_prints_no_control_characters(issuer):
    issuer.device_answer = {"user_code": "A\x1b[2JB", "verification_uri": f"{issuer.url}/\x1b[31m"}

    _, shown = await signed_in(issuer)

    assert shown == [(f"{issuer.url}/�[31m", "A�[2JB")]


async def test_an_issuer_without_device_sign_ins_is_reported(issuer):
    issuer.document_changes = {"device_authorization_endpoint": None}

    with pytest.raises(IssuerFailed, match="offers no sign-in on another device"):
        await signed_in(issuer)


async def test_a_device_sign_in_refuses_a_token_of_another_client(issuer):
    issuer.id_changes = {"aud": "another"}

    with pytest.raises(IssuerFailed, match="another audience"):
        await signed_in(issuer)

"""Tokens and sign-ins of an independent OpenID Connect issuer: npm's oidc-provider in its own process."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
import yaml
from yarl import URL

from console.cookies import SESSION
from console.issuer import CALLBACK
from tests.support.chromium import INSECURE_HOST
from tests.support.issuer_console import running_issuer_console
from tests.support.login_command import change_login, kept_login, login, login_on_device, person_at
from tests.support.ports import free_port
from tests.support.stack import Stack
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from playwright.async_api import Browser as BrowserType

PACKAGE = "oidc-provider@9"
CONSOLE_PORT = free_port()
SCRIPT = Path(__file__).parents[1] / "support" / "oidc_provider.mjs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="npm brings the issuer: apt install npm"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("issuer")
    (folder / "package.json").write_text('{"private": true}')
    words = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", PACKAGE]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    if ran.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {ran.stderr.strip()[-300:]}")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture
def issuer(installed: Path) -> Iterator[str]:
    process = subprocess.Popen(
        ["node", SCRIPT.name],
        cwd=installed,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": os.environ["PATH"], "CONSOLE_CALLBACK": f"http://{INSECURE_HOST}:{CONSOLE_PORT}{CALLBACK}"},
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def token_for(session: aiohttp.ClientSession, issuer: str, audience: str) -> str:
    async with session.post(
        f"{issuer}/token",
        auth=aiohttp.BasicAuth("robot", "a-secret-of-the-tests"),
        data={"grant_type": "client_credentials", "resource": f"https://{audience}"},
    ) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["access_token"]


async def test_a_service_accepts_only_an_issuers_tokens_for_its_audience(
    stack: Stack, issuer: str, session: aiohttp.ClientSession
):
    project = str(stack.people.project)
    row = {"url": issuer, "audience": "flowpin.test", "grants": [{"subject": "robot", "roles": {project: "viewer"}}]}
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [row]}))
    good, other = await asyncio.gather(*(token_for(session, issuer, host) for host in ("flowpin.test", "other.test")))

    async def status(token: str, path: str = "/v1/me") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await stack.rest("GET", path, token=None, headers=headers)).status

    async def is_accepted() -> bool:
        return await status(good) == 200

    await eventually(is_accepted, 15)
    assert await status(good, f"/v1/workflows?project_id={project}") == 200
    assert await status(good, f"/v1/apps?project_id={project}") == 200
    assert await status(other) == 401
    assert await status(f"{good[:-4]}AAAA") == 401


CLIENT = "flowpin-cli"
RESOURCE = "https://flowpin.test"


async def sign_in_with_a_browser(link: str) -> None:
    """Fill in the issuer's pages as a person does: enter a name, then agree."""
    jar = aiohttp.CookieJar(unsafe=True)  # the issuer's host is an address
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(link) as answer:
            page, address = await answer.text(), answer.url
        for form in ({"prompt": "login", "login": "ada", "password": "any"}, {"prompt": "consent"}):
            action = re.search(r'action="([^"]+)"', page)
            assert action is not None, page
            async with browser.post(address.join(URL(action[1])), data=form) as answer:
                page, address = await answer.text(), answer.url
        assert "go on in the terminal" in page


@pytest.mark.parametrize("audience", [CLIENT, RESOURCE])
async def test_a_person_signs_in_at_an_independent_issuer_on_the_command_line(
    stack: Stack, issuer: str, tmp_path: Path, audience: str
):
    """The ID token is for the client, the access token for the resource."""
    grant = {"subject": "ada", "roles": {str(stack.people.project): "viewer"}}
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [{"url": issuer, "audience": audience, "grants": [grant]}]}))
    await asyncio.sleep(2.5)  # a change of access.yaml takes effect within two seconds
    flowpin = person_at(stack, tmp_path, issuer, CLIENT)
    words = ["--audience", audience] if audience != CLIENT else []

    signed_in = await login(flowpin, sign_in_with_a_browser, *words)
    assert signed_in.code == 0, signed_in.error
    first = kept_login(flowpin)
    await flowpin.done("workflow", "list")
    change_login(flowpin, expires_at=1)
    await flowpin.done("app", "list")
    second = kept_login(flowpin)
    await flowpin.done("logout")
    revoked = await refresh(issuer, second["refresh_token"])

    assert signed_in.error.endswith("as ada.\n")
    assert first["refresh_token"]
    assert second["token"] != first["token"]
    assert revoked == (400, "invalid_grant")


async def type_the_code(page: str, code: str) -> None:
    """What a person does on another device: type the code, agree that it is theirs, say who they are, agree."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(page) as answer:
            text, address = await answer.text(), answer.url
        for form in (
            {"user_code": code},
            {"user_code": code, "confirm": "yes"},
            {"prompt": "login", "login": "ada", "password": "any"},
            {"prompt": "consent"},
        ):
            hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text))
            action = re.search(r'action="([^"]+)"', text)
            assert action is not None, text
            async with browser.post(address.join(URL(action[1])), data=hidden | form) as answer:
                text, address = await answer.text(), answer.url
        assert "Sign-in Success" in text, text


async def test_a_person_signs_in_with_another_device(stack: Stack, issuer: str, tmp_path: Path):
    grant = {"subject": "ada", "roles": {str(stack.people.project): "viewer"}}
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [{"url": issuer, "audience": CLIENT, "grants": [grant]}]}))
    await asyncio.sleep(2.5)  # a change of access.yaml takes effect within two seconds
    flowpin = person_at(stack, tmp_path, issuer, CLIENT)

    signed_in = await login_on_device(flowpin, type_the_code)

    assert signed_in.code == 0, signed_in.error
    assert signed_in.error.endswith("as ada.\n")
    await flowpin.done("workflow", "list")


@pytest.mark.browser
async def test_a_person_signs_in_to_the_console_with_a_browser(unstarted: Stack, issuer: str, browser: "BrowserType"):
    """The two are different sites: the console's cookies must survive the way to the issuer and back."""
    grant = {"subject": "ada", "roles": {str(unstarted.people.project): "viewer"}}
    row = {"url": issuer, "audience": "flowpin-console", "grants": [grant]}
    secret = "a secret: of the console"
    async with running_issuer_console(
        unstarted, row, host=INSECURE_HOST, port=CONSOLE_PORT, client_secret=secret
    ) as console:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{console}/apps?status=live")
        await page.get_by_role("link", name="Sign in with").click()
        await page.get_by_placeholder("Enter any login").fill("ada")
        await page.get_by_placeholder("and password").fill("any")
        await page.get_by_role("button", name="Sign-in").click()
        await page.get_by_role("button", name="Continue").click()
        await page.wait_for_url(f"{console}/apps?status=live")
        names = {cookie["name"] for cookie in await context.cookies(console)}
        replayed = await page.goto(f"{console}{CALLBACK}?code=x&state=y&iss={issuer}")

        assert names == {SESSION}
        assert replayed is not None
        assert replayed.status == 400
        await context.close()


async def refresh(issuer: str, refresh_token: str) -> tuple[int, str]:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": CLIENT}
    async with aiohttp.ClientSession() as session, session.post(f"{issuer}/token", data=form) as answer:
        return answer.status, (await answer.json()).get("error", "")

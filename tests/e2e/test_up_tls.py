"""With `flowpin up --tls` every listener and every channel uses TLS, and the commands trust it."""

import asyncio
import json
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator

import aiohttp
import pytest
import yaml

from flowpin_cli.doctor.processes import _without_tls
from flowpin_cli.machine.data_folder import Ports, found, last_ports
from tests.support.commands import Commands
from tests.support.login_command import change_login, login
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.ports import free_port
from tests.support.token_issuer import running_issuer
from tests.support.up_process import Up, flowpin

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("tls") / "data").start(tls=True).ready()
    yield up
    up.end()


def ports_of(up: Up) -> list[int]:
    ports = last_ports(found(up.data))
    assert ports is not None
    return [ports.gateway, ports.console, *ports.workflow, *ports.deploy]


def test_every_listener_of_up_tls_has_a_certificate_of_the_data_folders_authority(up):
    context = ssl.create_default_context(cafile=up.env["FLOWPIN_CA"])

    for port in ports_of(up):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            assert encrypted.version() in ("TLSv1.2", "TLSv1.3")


def test_a_client_without_the_data_folders_authority_cannot_connect(up):
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(up.env["FLOWPIN_URL"] + "/health/live", timeout=5)


def test_commands_trust_the_certificate_of_up_tls(up):
    demo = flowpin("demo", "--data", str(up.data))
    made = flowpin("workflow", "list", "--data", str(up.data), "--json")

    assert up.env["FLOWPIN_URL"].startswith("https://127.0.0.1:")
    assert demo.returncode == 0, demo.stderr
    assert json.loads(made.stdout), made.stderr


async def visit(link: str) -> None:
    async with aiohttp.ClientSession() as browser, browser.get(link) as page:
        assert page.status == 200


async def test_a_person_signs_in_over_tls(up, tmp_path):
    async with running_issuer(LoginIssuer) as issuer:
        grant = {"subject": "ada", "roles": {up.env["FLOWPIN_PROJECT_ID"]: "viewer"}}
        with (up.data / "access.yaml").open("a") as file:
            file.write(yaml.safe_dump({"issuers": [issuer.declared(grant, audience=CLIENT)]}))
        await asyncio.sleep(3)  # until the file is read, and the issuer's keys are
        url = {"FLOWPIN_URL": up.env["FLOWPIN_URL"], "XDG_CONFIG_HOME": str(tmp_path)}
        ada = Commands(tmp_path, url | {"FLOWPIN_ISSUER": issuer.url, "FLOWPIN_CLIENT_ID": CLIENT})

        refused = await login(ada, visit)  # the authority is not known
        of_folder = await login(ada, visit, "--data", str(up.data))
        listed = await ada.done("workflow", "list", FLOWPIN_CA=up.env["FLOWPIN_CA"])
        change_login(ada, expires_at=1)
        again = await ada.done("workflow", "list", FLOWPIN_CA=up.env["FLOWPIN_CA"])

    assert (refused.code, "CERTIFICATE_VERIFY_FAILED" in refused.error) == (1, True)
    assert of_folder.code == 0, of_folder.error
    assert of_folder.error.endswith("as ada.\n")
    assert listed.out == again.out
    assert [form["grant_type"] for form in issuer.forms][-1] == "refresh_token"


def test_the_curl_command_that_up_tls_prints_works(up):
    curl = next(line.strip() for line in up.output.splitlines() if line.startswith("  curl "))

    answer = subprocess.run(["/bin/sh", "-c", curl], env=up.env, capture_output=True, text=True, check=False)

    assert json.loads(answer.stdout)["pagination"]["page"] == 1, answer.stderr


def test_doctor_reports_that_all_listeners_use_tls(up):
    doctor = flowpin("doctor", "--data", str(up.data))

    assert "listeners speak TLS" in doctor.stdout
    assert "not ready" not in doctor.stdout
    assert "does not speak TLS" not in doctor.stdout


def test_doctor_names_a_listener_without_tls(up):
    ports = Ports(ports_of(up)[0], [], [], console=free_port(), ca=up.env["FLOWPIN_CA"])

    findings = [finding.what for finding in _without_tls(ports)]

    assert len(findings) == 1
    assert findings[0].startswith("The console does not speak TLS")

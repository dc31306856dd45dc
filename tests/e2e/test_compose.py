"""The compose file starts a Flowpin on which the README's transcript runs, and has no default passwords."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from service_kit.access.file import Role
from service_kit.access.tokens import mint_token, read_access_file, service_account, write_first_access_file
from tests.support import transcript
from tests.support.compose import COMPOSE, VARIABLE, Composed
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.tcp_postgres import TcpPostgres
from tests.support.up_process import Up, call

pytestmark = pytest.mark.slow

PASSWORDS = [
    "POSTGRES_PASSWORD",
    "WORKFLOW_DB_PASSWORD",
    "WORKFLOW_MIGRATOR_DB_PASSWORD",
    "DEPLOY_DB_PASSWORD",
    "DEPLOY_MIGRATOR_DB_PASSWORD",
    "DEPLOY_WORKFLOW_TOKEN",
]


@pytest.mark.parametrize("name", PASSWORDS)
def test_no_password_has_a_default(name: str):
    operators = {
        operator for found, operator, _ in VARIABLE.findall((ROOT / "docker-compose.yml").read_text()) if found == name
    }

    assert operators == {"?"}


def test_every_long_running_service_has_a_health_check():
    services = COMPOSE["services"]

    without = [name for name in services if "healthcheck" not in services[name] and services[name]["restart"] != "no"]

    assert without == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is written for curl, which is not installed")
def test_the_compose_file_runs_the_transcript(tcp_postgres: TcpPostgres, tmp_path: Path):
    access = tmp_path / "access.yaml"
    write_first_access_file(access, "ada")
    declared = read_access_file(access)
    org, project, person = declared.orgs[0], declared.projects[0], declared.users[0]
    token = mint_token(access, person.id, {org.id: Role.ADMIN})
    service = mint_token(access, service_account(access, "deploy-service").id, {org.id: Role.VIEWER})
    workflow, deploy, gateway = free_port(), free_port(), free_port()
    addresses = {
        ":an administrator's@postgres/": f":an%20administrator%27s@127.0.0.1:{tcp_postgres.port}/",
        "@postgres/": f"@127.0.0.1:{tcp_postgres.port}/",
        "/etc/flowpin/access.yaml": str(access),
        "0.0.0.0:50051": f"127.0.0.1:{workflow}",
        "0.0.0.0:50052": f"127.0.0.1:{deploy}",
        "0.0.0.0:8080": f"127.0.0.1:{gateway}",
        "127.0.0.1:50051": f"127.0.0.1:{workflow}",
        "127.0.0.1:50052": f"127.0.0.1:{deploy}",
        "127.0.0.1:8080": f"127.0.0.1:{gateway}",
        "workflow:50051": f"127.0.0.1:{workflow}",
        "deploy:50052": f"127.0.0.1:{deploy}",
    }
    env = {name: f"secret-{name.lower()}" for name in PASSWORDS}
    env |= {"POSTGRES_PASSWORD": tcp_postgres.password, "DEPLOY_WORKFLOW_TOKEN": service.secret}
    variables = {
        "FLOWPIN_URL": f"http://127.0.0.1:{gateway}",
        "FLOWPIN_TOKEN": token.secret,
        "FLOWPIN_PROJECT_ID": str(project.id),
        "FLOWPIN_WORKFLOW_GRPC": f"127.0.0.1:{workflow}",
        "FLOWPIN_DEPLOY_GRPC": f"127.0.0.1:{deploy}",
    }
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    composed = Composed(env, addresses, tmp_path)

    try:
        composed.up()
        printed = transcript.printed(env_file)
    finally:
        composed.down()

    expected = [transcript.alike(block.expected) for block in transcript.blocks()]
    assert [transcript.alike(text) for text in printed] == expected


def test_up_runs_on_a_postgres_of_yours(tcp_postgres: TcpPostgres, tmp_path: Path):
    up = Up(tmp_path / "data")
    up.start(database_url=tcp_postgres.url()).ready()

    rows = call(up.env, "GET", f"/v1/workflows?project_id={up.env['FLOWPIN_PROJECT_ID']}")

    up.end()
    assert rows["data"] == []
    logs = "".join(log.read_text() for log in (tmp_path / "data" / "logs").glob("*.log"))
    assert not re.search(r"administrator", up.output + logs)

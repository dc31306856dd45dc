"""The compose file starts an installation on which the documents' commands run, and has no default passwords."""

import json
import re
import shlex
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from uuid import UUID

import pytest

from service_kit.access.file import Role
from service_kit.access.tokens import mint_token, read_access_file, service_account, write_first_access_file
from tests.support import transcript
from tests.support.clients.environments import light_client
from tests.support.compose import COMPOSE, VARIABLE, Composed
from tests.support.hosting.host_process import standin_runtime
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.stack import FLOW
from tests.support.tcp_postgres import TcpPostgres
from tests.support.up_process import Up, call
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

PASSWORDS = [
    "POSTGRES_PASSWORD",
    "WORKFLOW_DB_PASSWORD",
    "WORKFLOW_MIGRATOR_DB_PASSWORD",
    "DEPLOY_DB_PASSWORD",
    "DEPLOY_MIGRATOR_DB_PASSWORD",
    "DEPLOY_WORKFLOW_TOKEN",
]


OF_APPS = ["RUN_DB_PASSWORD", "RUN_MIGRATOR_DB_PASSWORD", "RUN_DEPLOY_TOKEN"]


@pytest.mark.parametrize("name", [*PASSWORDS, *OF_APPS])
def test_no_password_in_the_compose_file_has_a_default(name: str):
    found = {
        (operator, word)
        for of, operator, word in VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
        if of == name
    }

    # Compose requires variables marked as required in every profile, so those of one profile may only be empty.
    assert found == ({("-", "")} if name in OF_APPS else {("?", "set it in .env")})


def test_compose_services_without_the_apps_profile_do_not_depend_on_it():
    services = COMPOSE["services"]

    of_apps = {name for name in services if "apps" in services[name].get("profiles", ())}

    assert of_apps == {"run-migrate", "run-serve", "run-host"}
    for name in services.keys() - of_apps:
        depends_on = services[name].get("depends_on", {})
        assert [each for each in of_apps & depends_on.keys() if depends_on[each].get("required", True)] == [], name


def test_the_host_container_has_no_capabilities_and_limited_resources():
    host = COMPOSE["services"]["run-host"]

    assert (host["read_only"], host["cap_drop"], host["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert {"mem_limit", "pids_limit"} <= host.keys()
    assert "networks" not in host  # flows call models


def test_only_services_with_a_database_url_share_the_network_of_postgres():
    services = COMPOSE["services"]

    on_its_network = {name for name in services if "data" in services[name].get("networks", ())}

    with_url = {name for name, each in services.items() if any("DATABASE_URL" in key for key in each["environment"])}
    assert on_its_network == {"postgres", *with_url}
    assert {"gateway", "console", "run-host"}.isdisjoint(on_its_network)
    assert COMPOSE["networks"]["data"] == {"internal": True}


def test_every_container_is_read_only_without_capabilities_and_has_limits():
    for name, service in COMPOSE["services"].items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "pids_limit"} <= service.keys(), name


def test_the_image_installs_packages_pinned_by_hash():
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    constrained = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert "--require-hashes -r requirements.txt" in (ROOT / "Dockerfile").read_text()
    assert {re.split("[<>=]", each)[0] for each in declared} <= pinned.keys()
    for name, version in pinned.items():
        assert constrained.get(name, version) == version, name


def test_images_in_the_compose_file_name_existing_build_targets():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    last = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]

    wanted = {service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service}

    assert wanted == {"flowpin", "apps"}
    assert wanted <= targets
    assert last == "flowpin"


def test_every_long_running_compose_service_has_a_health_check():
    services = COMPOSE["services"]

    without = [name for name in services if "healthcheck" not in services[name] and services[name]["restart"] != "no"]

    assert without == []


@dataclass
class Machine:
    """The addresses, passwords and tokens of the containers, as processes on this machine."""

    access: Path
    postgres: TcpPostgres
    ports: dict[str, int]
    env: dict[str, str]
    token: str
    project: UUID

    @property
    def addresses(self) -> dict[str, str]:
        ports = self.ports
        return {
            ":an administrator's@postgres/": f":an%20administrator%27s@127.0.0.1:{self.postgres.port}/",
            "@postgres/": f"@127.0.0.1:{self.postgres.port}/",
            "/etc/flowpin/access.yaml": str(self.access),
            **{f"0.0.0.0:{port}": f"127.0.0.1:{ports[name]}" for name, port in PORTS.items()},
            **{f"127.0.0.1:{port}": f"127.0.0.1:{ports[name]}" for name, port in PORTS.items()},
            **{f"{name}:{port}": f"127.0.0.1:{ports[name]}" for name, port in PORTS.items()},
        }


PORTS = {"workflow": 50051, "deploy": 50052, "run-serve": 50053, "gateway": 8080, "apps": 8081, "console": 8082}
"""The port of each service in its container."""


@pytest.fixture
def machine(tcp_postgres: TcpPostgres, tmp_path: Path) -> Machine:
    access = tmp_path / "access.yaml"
    write_first_access_file(access, "root")  # the name in the README
    declared = read_access_file(access)
    org, person = declared.orgs[0], declared.users[0]
    token = mint_token(access, person.id, {org.id: Role.ADMIN})
    accounts = {"DEPLOY_WORKFLOW_TOKEN": Role.VIEWER, "RUN_DEPLOY_TOKEN": Role.RUNNER}
    tokens = {
        name: mint_token(access, service_account(access, name).id, {org.id: role}).secret
        for name, role in accounts.items()
    }
    env = {name: f"a/b#c?d@[{name.lower()}" for name in (*PASSWORDS, *OF_APPS)}  # with special characters
    env |= {"POSTGRES_PASSWORD": tcp_postgres.password, **tokens}
    ports = {name: free_port() for name in PORTS}
    return Machine(access, tcp_postgres, ports, env, token.secret, declared.projects[0].id)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl, which is not installed")
def test_the_compose_file_runs_the_commands_of_the_documents(machine: Machine, tmp_path: Path):
    variables = {
        "FLOWPIN_URL": f"http://127.0.0.1:{machine.ports['gateway']}",
        "FLOWPIN_TOKEN": machine.token,
        "FLOWPIN_PROJECT_ID": str(machine.project),
        "FLOWPIN_WORKFLOW_GRPC": f"127.0.0.1:{machine.ports['workflow']}",
        "FLOWPIN_DEPLOY_GRPC": f"127.0.0.1:{machine.ports['deploy']}",
    }
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    composed = Composed(machine.env, machine.addresses, tmp_path)

    try:
        composed.up()
        different = transcript.differences(env_file, light_client(tmp_path))
    finally:
        composed.down()

    assert different == []


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter: as root, replicas run as other users."""
    folder = Path(tempfile.mkdtemp(prefix="flowpin-compose-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_an_app_answers_calls_with_the_compose_profile_apps(machine: Machine, folder: Path, tmp_path: Path):
    (folder / "runtimes").mkdir(mode=0o755)
    (folder / "runtimes" / "0.69").symlink_to(standin_runtime(folder))
    addresses = machine.addresses | {
        "/run/flowpin": str(folder / "run"),
        "/opt/runtimes": str(folder / "runtimes"),
        "/var/lib/flowpin": str(folder / "host"),
    }
    env = machine.env | {"DEPLOY_ROLLOUT_DRIVER": "local", "GATEWAY_RUN_TARGET": "run-serve:50053"}
    composed = Composed(env | {"DEPLOY_VARIABLE_KEYS": "0" * 64}, addresses, tmp_path, profiles=["apps"])
    caller = {"FLOWPIN_URL": f"http://127.0.0.1:{machine.ports['gateway']}", "FLOWPIN_TOKEN": machine.token}
    new = {"project_id": str(machine.project), "name": "composed"}

    try:
        composed.up()
        flow = {"flow": json.loads(FLOW), "flow_ui": {}}
        workflow = call(caller, "POST", "/v1/workflows", {**new, **flow})["data"]
        call(caller, "POST", f"/v1/workflows/{workflow['id']}/save", flow)
        app = call(caller, "POST", "/v1/apps", {**new, "workflow_id": workflow["id"]})["data"]
        key = call(caller, "POST", "/v1/access-keys", new)["data"]["key"]
        apps = {"FLOWPIN_URL": f"http://127.0.0.1:{machine.ports['apps']}", "FLOWPIN_TOKEN": key}

        def is_known() -> bool:  # the key has reached the router
            with suppress(HTTPError):
                return bool(call(apps, "POST", f"/apps/{app['id']}", {"input": {}}))
            return False

        wait_until(is_known, 10)
        answer = call(apps, "POST", f"/apps/{app['id']}", {"input": {"price": 2}})
    finally:
        composed.down()

    assert answer["output"]["echo"] == {"price": 2}


def test_up_runs_on_an_existing_postgres(tcp_postgres: TcpPostgres, tmp_path: Path):
    up = Up(tmp_path / "data")
    up.start(database_url=tcp_postgres.url()).ready()

    rows = call(up.env, "GET", f"/v1/workflows?project_id={up.env['FLOWPIN_PROJECT_ID']}")

    up.end()
    assert rows["data"] == []
    logs = "".join(log.read_text() for log in (tmp_path / "data" / "logs").glob("*.log"))
    assert not re.search(r"administrator", up.output + logs)

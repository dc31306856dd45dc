"""Prefect's server. A deployment corresponds to what an app has live."""

import itertools
import json
from pathlib import Path

from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench
from tests.load.bench.request import Request
from tests.load.bench.result import Load, Row, Unmeasurable
from tests.load.bench.seeds import APPS
from tests.load.peers import environment, stripped
from tests.load.peers.database import adding_rows, database
from tests.load.peers.figure import CALLERS, PROBLEMS, TWENTY_TIMES, seconds, times, unmeasured
from tests.load.peers.ours import Ours
from tests.load.peers.posting import post_json
from tests.load.peers.server import Server, running
from tests.support.ports import free_port

REQUIREMENTS = (
    "prefect==3.8.8",
    "fastapi==0.150.0",  # Prefect allows newer versions, but does not start with 0.160 or newer
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "SQLAlchemy==2.1.9",
    "asyncpg==0.32.0",
)
ENVIRONMENT = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "true"}
NAMES = ("Peer: Prefect create deployment", "Peer: Prefect get deployment")
FLOWS = 20
NAMES_PER_DRIVE = 5000
"""Number of new names in one drive. A repeated name would be an update, which is detected."""


def measure(bench: Bench) -> list[Row]:
    """One row for each figure. They say why if Prefect cannot be run."""
    try:
        programs = environment.installed("prefect", REQUIREMENTS, bench.say)
        bench.say("Starting Prefect")
        with database(bench, "peer_prefect") as url:
            connection = url.replace("postgresql://", "postgresql+asyncpg://", 1)
            env = {**ENVIRONMENT, "PREFECT_API_DATABASE_CONNECTION_URL": connection}
            words: list[str | Path] = [programs / "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1"]
            words += ["--port", str(port := free_port())]
            with running("prefect", words, env, port, "/api/health", bench.scratch) as server:
                return _rows(bench, server, url)
    except PROBLEMS as problem:
        return unmeasured(NAMES, TWENTY_TIMES, problem)


def _rows(bench: Bench, server: Server, url: str) -> list[Row]:
    with Caller(server.url, {}) as caller:
        flows = [_id(caller.send(post_json("/api/flows/", name=f"flow-{n}"))) for n in range(FLOWS)]
        deployments = [_id(caller.send(_create(flows[n % FLOWS], f"seed-{n}"))) for n in range(APPS)]
        answer = caller.send(Request(f"/api/deployments/{deployments[0]}"))
        if _id(answer) != deployments[0]:
            raise Unmeasurable(f"Prefect answered with another deployment: {answer[:200]!r}")
    names = (f"deployment-{number}" for number in itertools.count())

    def creating() -> Load:
        creations = [_create(flows[n % FLOWS], next(names)) for n in range(NAMES_PER_DRIVE)]
        return adding_rows(lambda: bench.wrk(server.url, creations, seconds(bench), CALLERS), url, "deployment")

    def reading() -> Load:
        reads = [Request(f"/api/deployments/{deployment}") for deployment in deployments]
        return bench.wrk(server.url, reads, seconds(bench), CALLERS)

    ours, create, get = Ours(bench), *NAMES
    with stripped.everything(bench) as bare:
        deploys, reads = stripped.drive(bench, bare, ours.deploys), stripped.drive(bench, bare, ours.app_reads)
        deploying = "our deploy against POST /api/deployments/, new names"
        return [
            times(bench, create, server, creating, ours.deploy, deploying, deploys),
            times(bench, get, server, reading, ours.get_app, "our app by id against GET /api/deployments/{id}", reads),
        ]


def _create(flow: str, name: str) -> Request:
    return post_json("/api/deployments/", name=name, flow_id=flow)


def _id(answer: bytes) -> str:
    return str(json.loads(answer)["id"])

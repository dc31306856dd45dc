"""MLflow's model registry. A model version corresponds to a workflow version, an alias to what an app has live."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench, Drive
from tests.load.bench.request import Request
from tests.load.bench.result import Row, Unmeasurable
from tests.load.peers import environment, stripped
from tests.load.peers.database import adding_rows, database
from tests.load.peers.figure import CALLERS, PROBLEMS, TWENTY_TIMES, seconds, times, unmeasured
from tests.load.peers.ours import Ours
from tests.load.peers.posting import post_json
from tests.load.peers.server import Server, running
from tests.support.ports import free_port

REQUIREMENTS = (
    "mlflow==3.17.2",
    "psycopg2-binary==2.9.13",
    "fastapi==0.165.0",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "SQLAlchemy==2.1.9",
)
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
API = "/api/2.0/mlflow"
MODELS = 100
NAMES = ("Peer: MLflow create version", "Peer: MLflow get version", "Peer: MLflow set alias")


def measure(bench: Bench) -> list[Row]:
    """One row for each figure. They say why if MLflow cannot be run."""
    try:
        programs = environment.installed("mlflow", REQUIREMENTS, bench.say)
        bench.say("Starting MLflow")
        with database(bench, "peer_mlflow") as url:
            words: list[str | Path] = [programs / "mlflow", "server", "--host", "127.0.0.1"]
            words += ["--port", str(port := free_port())]
            words += ["--backend-store-uri", url.replace("postgresql://", "postgresql+psycopg2://", 1)]
            with running("mlflow", words, ENVIRONMENT, port, "/health", bench.scratch) as server:
                return _rows(bench, server, url)
    except PROBLEMS as problem:
        return unmeasured(NAMES, TWENTY_TIMES, problem)


def _rows(bench: Bench, server: Server, url: str) -> list[Row]:
    models = _seed(server)
    creations = [_create_version(model) for model in models]
    reads = [Request(f"{API}/model-versions/get?name={model}&version=1") for model in models]
    aliases = [_set_alias(model, version) for version in ("1", "2") for model in models]

    def theirs(requests: Sequence[Request]) -> Drive:
        return lambda: bench.wrk(server.url, requests, seconds(bench), CALLERS)

    def creating() -> Drive:
        return lambda: adding_rows(theirs(creations), url, "model_versions")

    ours, create, get, alias = Ours(bench), *NAMES
    with stripped.everything(bench) as bare:
        saves, gets, deploys = (
            stripped.drive(bench, bare, requests) for requests in (ours.saves, ours.version_reads, ours.deploys)
        )
        saving, getting = "our save against model-versions/create, 100 models", "our version by id against theirs"
        deploying = "our deploy against registered-models/alias"
        return [
            times(bench, create, server, creating(), ours.save, saving, saves),
            times(bench, get, server, theirs(reads), ours.get_version, getting, gets),
            times(bench, alias, server, theirs(aliases), ours.deploy, deploying, deploys),
        ]


def _seed(server: Server) -> list[str]:
    """Create models of two versions, and check each measured request once on the first."""
    models = [f"model-{number}" for number in range(MODELS)]
    with Caller(server.url, {}) as caller:
        for model in models:
            caller.send(post_json(f"{API}/registered-models/create", name=model))
            caller.send(_create_version(model))
            caller.send(_create_version(model))
        caller.send(_set_alias(models[0], "2"))
        answer = caller.send(Request(f"{API}/registered-models/alias?name={models[0]}&alias=live"))
    if json.loads(answer)["model_version"]["version"] != "2":
        raise Unmeasurable(f"MLflow did not set the alias: {answer[:200]!r}")
    return models


def _create_version(model: str) -> Request:
    return post_json(f"{API}/model-versions/create", name=model, source=f"s3://models/{model}")


def _set_alias(model: str, version: str) -> Request:
    return post_json(f"{API}/registered-models/alias", name=model, alias="live", version=version)

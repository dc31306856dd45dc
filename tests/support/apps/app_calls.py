"""Calls to an app of a `flowpin up`, as its users make them, and callers that never pause."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.up_process import call

CALL_SECONDS = 30.0
INPUT = {"price": 2.5, "quantity": 4}


@dataclass(frozen=True)
class Answer:
    began: float
    ended: float
    """Time by the monotonic clock."""
    status: int
    version: str | None
    """The version in its header."""
    output: object
    error: str = ""


class App:
    """An app whose answers contain the number of their version."""

    def __init__(self, env: dict[str, str], given: object = INPUT) -> None:
        """`given`: the input of its calls."""
        self._env = env
        self._given = given
        name = f"app-{time.monotonic_ns()}"
        body = {"name": name, "project_id": env["FLOWPIN_PROJECT_ID"], "flow": flow(0), "flow_ui": {}}
        self.workflow_id = call(env, "POST", "/v1/workflows", body)["data"]["id"]
        self.versions = 0
        self.id = self.url = ""

    def save(self, document: dict | bytes | None = None) -> str:
        """Save a version and return its id."""
        self.versions += 1
        document = json.loads(document) if isinstance(document, bytes) else document
        body = {"flow": document or flow(self.versions), "flow_ui": {}}
        return call(self._env, "POST", f"/v1/workflows/{self.workflow_id}/save", body)["data"]["id"]

    def create(self, config: dict | None = None) -> dict:
        """Deploy the latest version as a new app."""
        body = {
            "name": f"app {self.workflow_id}",
            "project_id": self._env["FLOWPIN_PROJECT_ID"],
            "workflow_id": self.workflow_id,
            **({"deployment_config": config} if config else {}),
        }
        made = call(self._env, "POST", "/v1/apps", body, seconds=60)["data"]
        self.id, self.url = made["id"], made["hostname"]
        return self.deployment(made["latest_deployment_id"])

    def deploy(self, version_id: str) -> dict:
        body = {"workflow_id": self.workflow_id, "workflow_version_id": version_id}
        return call(self._env, "POST", f"/v1/apps/{self.id}/deploy", body, seconds=60)["data"]

    def rollback(self, deployment_id: str | None = None) -> dict:
        body = {"deployment_id": deployment_id} if deployment_id else {}
        return call(self._env, "POST", f"/v1/apps/{self.id}/rollback", body, seconds=60)["data"]

    def deployment(self, deployment_id: str, seconds: float = 120) -> dict:
        """The deployment after its rollout has ended."""
        end = time.monotonic() + seconds
        while True:
            found = call(self._env, "GET", f"/v1/apps/{self.id}/deployments/{deployment_id}")["data"]
            if found["status"] not in ("pending", "deploying") or time.monotonic() > end:
                return found
            time.sleep(0.1)

    @property
    def address(self) -> str:
        """host:port."""
        return urlsplit(self.url).netloc

    def ask(self, connection: http.client.HTTPConnection | None = None) -> Answer:
        parts = urlsplit(self.url)
        line = connection or http.client.HTTPConnection(parts.netloc, timeout=CALL_SECONDS)
        headers = {"Authorization": f"Bearer {self._env['FLOWPIN_ACCESS_KEY']}", "Content-Type": "application/json"}
        began = time.monotonic()
        try:
            line.request("POST", parts.path, json.dumps({"input": self._given}), headers)
            response = line.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            line.close()
            return Answer(began, time.monotonic(), 0, None, None, repr(error))
        finally:
            if connection is None:
                line.close()
        version = response.headers["X-Flowpin-Version"]
        return Answer(began, time.monotonic(), response.status, version, answer.get("output"), str(answer.get("error")))

    @contextmanager
    def called(self, callers: int) -> Iterator["Calls"]:
        """Call it without a pause until the block ends."""
        calls = Calls()
        threads = [threading.Thread(target=self._call, args=(calls,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield calls
        finally:
            calls.is_over.set()
            for thread in threads:
                thread.join(2 * CALL_SECONDS)

    def _call(self, calls: "Calls") -> None:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=CALL_SECONDS)
        while not calls.is_over.is_set():
            answer = self.ask(connection)
            calls.answers.append(answer)
            if answer.status != 200:
                time.sleep(0.05)
        connection.close()


@dataclass
class Calls:
    answers: list[Answer] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)


def flow(number: int, code: str | None = None) -> dict:
    """A flow that answers {"text": "v<number> total=10.0"}, or what `code` of a Python node returns."""
    run = f"def run(input_data):\n    return {{'text': 'v{number} total=' + str(input_data['total'])}}\n"
    return {
        "nodes": [
            {"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input"},
            {
                "id": "compute",
                "name": "compute",
                "type": "dynamiq.nodes.operators.Expression",
                "depends": [{"node": "input"}],
                "input_transformer": {
                    "selector": {"price": "$.input.output.price", "quantity": "$.input.output.quantity"}
                },
                "expressions": [{"key": "total", "expression": "price * quantity"}],
            },
            {
                "id": "label",
                "name": "label",
                "type": "dynamiq.nodes.tools.Python",
                "depends": [{"node": "compute"}],
                "input_transformer": {"selector": {"total": "$.compute.output.total"}},
                "code": code or run,
            },
            {
                "id": "output",
                "name": "output",
                "type": "dynamiq.nodes.utils.Output",
                "depends": [{"node": "label"}],
                "input_transformer": {"selector": {"output": "$.label.output.content"}},
            },
        ]
    }

"""The main job as a Locust scenario: each user saves, reads, deploys and rolls back its own workflow and app.

    pip install locust
    source .flowpin/env                                   # FLOWPIN_URL, FLOWPIN_TOKEN, FLOWPIN_PROJECT_ID
    locust -f tests/load/locustfile.py                    # http://localhost:8089, or without a browser:
    locust -f tests/load/locustfile.py --headless -u 10 -r 10 -t 30s

Flowpin does not depend on Locust, and this file does not import Flowpin. Requests are grouped by route, failures by
the status, code and reason of the answer.
"""

import json
import os
import random
import uuid
from pathlib import Path

from locust import FastHttpUser, between, events, tag, task
from locust.exception import RescheduleTask

EXAMPLES = Path(__file__).parents[2] / "flowpin_cli"
FLOW = json.loads((EXAMPLES / "example_flow.json").read_bytes())
FLOW_UI = json.loads((EXAMPLES / "example_flow_ui.json").read_bytes())
NEEDED = ("FLOWPIN_URL", "FLOWPIN_TOKEN", "FLOWPIN_PROJECT_ID")


@events.init.add_listener
def check_environment(environment, **_):
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        raise SystemExit(f"{', '.join(missing)} not set: `source DIR/env` of a running `flowpin up --data DIR` first")


class Person(FastHttpUser):
    """A user that reads about five times as often as it writes. The numbers beside the tasks are their weights."""

    host = os.environ.get("FLOWPIN_URL", "http://127.0.0.1:8080")
    wait_time = between(0.05, 0.2)

    def on_start(self):
        """Create what each user needs: two versions, and an app that has had both live."""
        self.saves, self.app = 0, None
        while self.app is None:
            try:
                self.begin()
            except RescheduleTask:
                self.wait()

    def begin(self):
        self.project = os.environ["FLOWPIN_PROJECT_ID"]
        body = {"name": f"load-{uuid.uuid4().hex[:12]}", "project_id": self.project, **self.edited()}
        self.workflow = self.call("POST", "/v1/workflows", body)["id"]
        self.versions = [self.saved(), self.saved()]
        body = {"name": "load", "project_id": self.project, "workflow_id": self.workflow}
        app = self.call("POST", "/v1/apps", {**body, "workflow_version_id": self.versions[0]})["id"]
        order = {"workflow_id": self.workflow, "workflow_version_id": self.versions[1]}
        self.call("POST", "/v1/apps/{id}/deploy", order, id=app)
        self.app = app

    # Writes.

    @tag("write")
    @task(10)
    def save(self):
        self.versions.append(self.saved())

    @tag("write")
    @task(4)
    def deploy(self):
        body = {"workflow_id": self.workflow, "workflow_version_id": self.versions[-1]}
        self.call("POST", "/v1/apps/{id}/deploy", body, id=self.app)

    @tag("write")
    @task(1)
    def rollback(self):
        self.call("POST", "/v1/apps/{id}/rollback", {"reason": "the load test"}, id=self.app)

    # Reads.

    @tag("read")
    @task(30)
    def get_live_app(self):
        self.call("GET", "/v1/apps/{id}", id=self.app)

    @tag("read")
    @task(20)
    def get_latest_version(self):
        self.call("GET", "/v1/workflows/{id}/versions/latest", id=self.workflow)

    @tag("read")
    @task(15)
    def get_version(self):
        version = random.choice(self.versions)
        self.call("GET", "/v1/workflows/{id}/versions/{version}", id=self.workflow, version=version)

    @tag("read")
    @task(10)
    def list_versions(self):
        self.call("GET", "/v1/workflows/{id}/versions", id=self.workflow)

    @tag("read")
    @task(5)
    def list_deployments(self):
        self.call("GET", "/v1/apps/{id}/deployments", id=self.app)

    @tag("read")
    @task(2)
    def list_workflows(self):
        self.call("GET", f"/v1/workflows?project_id={self.project}", name="/v1/workflows")

    @tag("read")
    @task(2)
    def list_apps(self):
        self.call("GET", f"/v1/apps?project_id={self.project}", name="/v1/apps")

    def saved(self):
        body = {**self.edited(), "description": f"save {self.saves}"}
        return self.call("POST", "/v1/workflows/{id}/save", body, id=self.workflow)["id"]

    def edited(self):
        """The example with a changed program, for the next save."""
        self.saves += 1
        nodes = [
            {**node, "code": node["code"].replace("total=", f"total ({self.saves}) = ")} if "code" in node else node
            for node in FLOW["nodes"]
        ]
        return {"flow": {**FLOW, "nodes": nodes}, "flow_ui": FLOW_UI}

    def call(self, method, route, body=None, name=None, **ids):
        """The `data` of an answer. A failure is counted and ends the task."""
        headers = {"Authorization": f"Bearer {os.environ['FLOWPIN_TOKEN']}"}
        if method == "POST":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        with self.client.request(
            method, route.format(**ids), json=body, headers=headers, name=name or route, catch_response=True
        ) as response:
            if 200 <= response.status_code < 300:
                return json.loads(response.content)["data"]
            response.failure(what_failed(response))
        raise RescheduleTask


def what_failed(response):
    try:
        error = json.loads(response.content or b"{}")["error"]
    except (ValueError, KeyError):
        return f"{response.status_code or 'no answer'} {response.error or ''}".strip()
    return f"{response.status_code} {error['code']} {error.get('details', {}).get('reason', '')}".strip()

"""The data of the rows: workflows and apps made over REST, long histories made by `flowpin seed`."""

import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.load.bench import tools
from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench
from tests.load.bench.graphs import USUAL_BYTES

FEW, MANY, MILLION = 10, 100_000, 1_000_000
SPREAD = 100
APPS = 50
ARCHIVED_EVERY = 10
SMALL_BYTES = 2_000
SEED_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class History:
    """A workflow, and the ids of its newest versions."""

    workflow_id: str
    version_ids: Sequence[str]

    @property
    def path(self) -> str:
        return f"/v1/workflows/{self.workflow_id}"

    @property
    def version_paths(self) -> list[str]:
        return [f"{self.path}/versions/{version_id}" for version_id in self.version_ids]


class Seeds:
    """Data that is created at its first use."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def move_to(self, bench: Bench) -> None:
        """Use another stack, which serves the same data."""
        self._bench = bench

    @cached_property
    def read(self) -> History:
        """A workflow with a hundred saved versions."""
        with self._bench.caller() as caller:
            return self._with_saves(caller, self._new_workflow(caller), SPREAD)

    @cached_property
    def spread(self) -> list[History]:
        """A hundred workflows of one version each."""
        with self._bench.caller() as caller:
            return [self._with_saves(caller, self._new_workflow(caller), 1) for _ in range(SPREAD)]

    @cached_property
    def few(self) -> History:
        with self._bench.caller() as caller:
            return self._with_saves(caller, self._new_workflow(caller), FEW)

    @cached_property
    def many(self) -> History:
        """A long history. The newest versions are saved, as those of `few`. Every tenth of the others is archived, and
        with --quick they are small."""
        seeded = self._seeded(1, MANY - FEW, SMALL_BYTES if self._bench.quick else USUAL_BYTES)
        with self._bench.caller() as caller:
            return self._with_saves(caller, seeded[0], FEW)

    def app(self, history: History) -> str:
        """The id of a new app that has the workflow's latest version live."""
        body = {"name": f"bench {secrets.token_hex(6)}", "workflow_id": history.workflow_id}
        with self._bench.caller() as caller:
            return str(caller.post("/v1/apps", {**body, "project_id": self._bench.stack.project_id})["id"])

    @cached_property
    def apps(self) -> list[str]:
        """The ids of fifty apps that have a version of `read` live."""
        return [self.app(self.read) for _ in range(APPS)]

    def fill(self, versions: int = MILLION, size: int = SMALL_BYTES) -> None:
        """Add so many versions to the database, in workflows of a thousand."""
        self._seeded(versions // 1000, 1000, size)

    def _seeded(self, workflows: int, versions: int, size: int) -> list[str]:
        """The workflows' ids."""
        self._bench.say(f"  seeding {workflows * versions:,} versions in {workflows:,} workflows")
        words: list[str | Path] = [sys.executable, "-P", "-m", "flowpin_cli", "seed", "--json"]
        words += ["--data", self._bench.stack.data]
        words += ["--workflows", str(workflows), "--versions", str(versions), "--bytes", str(size)]
        words += ["--archived-every", str(ARCHIVED_EVERY)]
        made = json.loads(tools.run(words, SEED_SECONDS))
        return [workflow["id"] for workflow in made["workflows"]]

    def _new_workflow(self, caller: Caller) -> str:
        name = f"bench-{secrets.token_hex(6)}"
        named = f'{{"name": "{name}", "project_id": "{self._bench.stack.project_id}", '
        return str(caller.post("/v1/workflows", named.encode() + self._bench.content.body[1:])["id"])

    def _with_saves(self, caller: Caller, workflow_id: str, count: int) -> History:
        save = f"/v1/workflows/{workflow_id}/save"
        return History(workflow_id, [caller.post(save, self._bench.content.body)["id"] for _ in range(count)])

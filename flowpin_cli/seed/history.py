"""Makes the rows of a seeded workflow and of an app that serves it, as if from calls over half a year."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from asyncpg import BitString

from flowpin_cli.seed.graphs import Graph
from flowpin_cli.seed.texts import TOPICS

Record = tuple[Any, ...]

LONGEST = timedelta(days=180)
"""Maximum age of a history."""
USUAL_STEP = timedelta(minutes=10)
SIZES = (7_000, 2_000, 4_000, 12_000, 30_000)
"""Default sizes of workflows, used in turn."""
BLOCK = 1_000
"""Number of versions per row of hidden_versions."""
TOKEN = "seed"  # noqa: S105 - what the audit calls the token
SERVERLESS = b'{"deployment_type": "serverless", "config": {}}'

_random = random.Random()  # noqa: S311 - ids and graphs, no secrets


@dataclass(frozen=True)
class Author:
    """The author and the project of the rows."""

    project_id: UUID
    environment: str
    """The environment of its apps."""
    person_id: UUID
    person_name: str


@dataclass(frozen=True)
class Pin:
    """A version as a deployment records it."""

    number: int
    id: UUID
    description: str
    digest: bytes
    created_at: datetime
    flow: bytes


class WorkflowHistory:
    """A workflow with `count` versions. Each `archived_every`th is archived, except the latest."""

    def __init__(self, author: Author, run: str, index: int, count: int, size: int | None, archived_every: int) -> None:
        self.author = author
        self.count = count
        self._archived_every = archived_every
        self._step = min(USUAL_STEP, LONGEST / (count + 1))
        self._began = datetime.now(UTC) - self._step * (count + 1)
        self.id = id_at(self._began)
        self.name = f"{TOPICS[index % len(TOPICS)]}-{run}-{index + 1}"
        self.description = f"Made by flowpin seed, with {count:,} versions."
        self._graph = Graph(_random, size or SIZES[index % len(SIZES)])
        self.pins: dict[int, Pin] = {}
        """The first, the middle and the last version. `rows` must have been read first."""

    @property
    def middle(self) -> int:
        return (self.count + 1) // 2

    @property
    def archived_count(self) -> int:
        return len(self._archived_numbers)

    @property
    def _archived_numbers(self) -> range:
        return range(self._archived_every, self.count, self._archived_every) if self._archived_every else range(0)

    @property
    def row(self) -> Record:
        """The row of the table workflows. Each save and each archived version has increased its revision."""
        by, latest_at = self.author.person_id, self._moment(self.count)
        revision = 1 + self.count + self.archived_count
        return (
            self.author.project_id, self.id, self.name, self.description, self.count, self.archived_count, True,
            revision, self._began, by, latest_at, by,
        )  # fmt: skip

    @property
    def hidden_rows(self) -> list[Record]:
        """The rows of the table hidden_versions."""
        blocks: dict[int, int] = defaultdict(int)
        for number in self._archived_numbers:
            block, place = divmod(number - 1, BLOCK)
            blocks[block] |= 1 << BLOCK - 1 - place  # the first bit is the highest
        return [
            (self.author.project_id, self.id, block, BitString.from_int(bits, BLOCK)) for block, bits in blocks.items()
        ]

    def rows(self) -> Iterator[tuple[Record, list[Record]]]:
        """The rows of the table versions with their audit events, oldest first."""
        for number in range(1, self.count + 1):
            description = self._graph.edit() if number > 1 else "First version"
            moment, flow, flow_ui = self._moment(number), self._graph.flow, self._graph.flow_ui
            version_id, digest = id_at(moment), hashlib.sha256(flow).digest()
            if number in (1, self.middle, self.count):
                self.pins[number] = Pin(number, version_id, description, digest, moment, flow)
            yield self._version(number, version_id, description, digest, moment, flow, flow_ui)

    def _version(
        self, number: int, id_: UUID, description: str, digest: bytes, moment: datetime, flow: bytes, flow_ui: bytes
    ) -> tuple[Record, list[Record]]:
        by, project_id, label = self.author.person_id, self.author.project_id, version_details(number)
        canvas_digest = hashlib.sha256(b"\0".join((flow, flow_ui))).digest()
        events = [event(self.author, self.id, "SaveWorkflow", id_, label, moment)]
        if number == 1:
            details = b'{"name": "%s"}' % self.name.encode()
            events.insert(0, event(self.author, self.id, "CreateWorkflow", self.id, details, self._began))
        is_archived = number in self._archived_numbers
        archived_at = moment + self._step / 2 if is_archived else None
        if archived_at:
            events.append(event(self.author, self.id, "ArchiveVersion", id_, label, archived_at))
        record = (
            project_id, self.id, number, id_, description, digest, canvas_digest, flow, flow_ui, moment, by,
            self.author.person_name, archived_at, by if is_archived else None, 2 if is_archived else 1,
        )  # fmt: skip
        return record, events

    def _moment(self, number: int) -> datetime:
        return self._began + self._step * number


class AppHistory:
    """An app with deployments of a workflow's first, middle and last version. It serves the last."""

    def __init__(self, workflow: WorkflowHistory, index: int, runtime: Record) -> None:
        """`runtime` is its id, version and label."""
        self.workflow = workflow
        self._author = workflow.author
        self._pins = sorted(workflow.pins.values(), key=lambda pin: pin.number)
        self._runtime = runtime
        self.id = id_at(self._pins[0].created_at)
        self.name = f"{workflow.name} {index + 1}"

    @property
    def row(self) -> Record:
        began, by = self._pins[0].created_at, self._author.person_id
        description = "Made by flowpin seed."
        return (
            self._author.project_id, self.id, self.name, description, "private", len(self._pins), began, by, began, by,
        )  # fmt: skip

    @property
    def flows(self) -> list[Record]:
        return [(self._author.project_id, pin.digest, pin.flow) for pin in self._pins]

    def rows(self) -> Iterator[tuple[Record, list[Record]]]:
        """The rows of the table deployments with their audit event, oldest first."""
        ends = [pin.created_at for pin in self._pins[1:]]
        for number, (pin, live_to) in enumerate(zip(self._pins, [*ends, None], strict=True), 1):
            yield self._deployment(number, pin, live_to)

    def _deployment(self, number: int, pin: Pin, live_to: datetime | None) -> tuple[Record, list[Record]]:
        author, workflow, live_from = self._author, self.workflow, pin.created_at
        deployment_id = id_at(live_from)
        record = (
            author.project_id, self.id, number, deployment_id, author.environment, "deploy",
            workflow.id, workflow.name, workflow.description,
            pin.id, pin.number, pin.description, pin.digest, pin.created_at,
            *self._runtime, SERVERLESS, [], author.person_id, author.person_name,
            "succeeded", live_from, live_from, live_from, live_to,
        )  # fmt: skip
        action, target = ("CreateApp", self.id) if number == 1 else ("DeployApp", deployment_id)
        details = b'{"environment": "%s", "version": "v%d"}' % (author.environment.encode(), pin.number)
        return record, [event(author, self.id, action, target, details, live_from)]


def event(author: Author, subject_id: UUID, action: str, target_id: UUID, details: bytes, moment: datetime) -> Record:
    """A row of a table audit_events."""
    return (
        author.project_id, subject_id, id_at(moment), action, target_id, author.person_id, author.person_name, TOKEN,
        "flowpin-seed", details, moment,
    )  # fmt: skip


def version_details(number: int) -> bytes:
    return b'{"version" : "v%d"}' % number


def id_at(moment: datetime) -> UUID:
    """A UUIDv7 with this time."""
    milliseconds = int(moment.timestamp() * 1000)
    noise = _random.getrandbits(74)
    return UUID(int=milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | noise & (1 << 62) - 1)

"""Apps, deployments and what they pin, as the rules see them."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.errors import DeploymentFinished, EnvironmentNotFound, RuntimeDeprecated
from service_kit.access import Project
from service_kit.errors import InvalidFields

APP_NAME = re.compile(r"[A-Za-z0-9 ./_'-]+")
MAX_NAME = 128
MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class Runtime:
    id: UUID
    version: str
    label: str
    is_default: bool
    deprecated: bool


@dataclass(frozen=True, slots=True)
class Pin:
    """A workflow version as it is written into a deployment, once and for ever."""

    workflow_id: UUID
    workflow_name: str
    workflow_description: str
    version_id: UUID
    version_number: int
    version_description: str
    version_digest: bytes
    version_created_at: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """A pin, a runtime and a configuration (JSON bytes) in one environment of an app, and how its rollout went."""

    project_id: UUID
    app_id: UUID
    number: int
    id: UUID
    environment: str
    kind: str
    reason: str | None
    pin: Pin
    runtime_id: UUID
    runtime_version: str
    runtime_label: str
    config: bytes
    warnings: tuple[str, ...]
    created_by: UUID
    created_by_name: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    error_code: str | None
    error_message: str | None
    live_from: datetime | None
    live_to: datetime | None

    @property
    def is_live(self) -> bool:
        return self.live_from is not None and self.live_to is None

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    def check_canceled(self) -> None:
        """Raises DeploymentFinished when it had come to another end before the cancel."""
        if self.status != "canceled":
            raise DeploymentFinished(self.status)


@dataclass(frozen=True, slots=True)
class App:
    """What serves one pinned version in each environment. `live` maps an environment to what it serves."""

    project_id: UUID
    id: UUID
    name: str
    description: str
    access_type: str
    deployment_count: int
    created_at: datetime
    created_by: UUID
    updated_at: datetime
    updated_by: UUID
    newest_deployment_id: UUID | None
    live: dict[str, Deployment]


def environment_of(project: Project, asked: str | None) -> str:
    """The environment that is asked for, or else the project's last one. Raises EnvironmentNotFound."""
    if asked is None:
        return project.environments[-1]
    if asked not in project.environments:
        raise EnvironmentNotFound(asked, project.environments)
    return asked


def kind_of(pin: Pin, live: Deployment | None) -> str:
    """Going to a lower number of the workflow that is live is going back."""
    goes_back = (
        live is not None and live.pin.workflow_id == pin.workflow_id and pin.version_number < live.pin.version_number
    )
    return "rollback" if goes_back else "deploy"


def check_runtime(runtime: Runtime, live: Deployment | None) -> None:
    """A deprecated runtime stays where it is live and goes nowhere else."""
    if runtime.deprecated and not (live is not None and live.runtime_id == runtime.id):
        raise RuntimeDeprecated


def check_texts(*, name: str | None = None, description: str | None = None, reason: str | None = None) -> None:
    """The rules for what people type. Raises InvalidFields naming each that breaks its rule."""
    wrong = {}
    if name is not None and not name.strip():
        wrong["name"] = "cannot be blank"
    elif name is not None and not (APP_NAME.fullmatch(name) and len(name) <= MAX_NAME):
        wrong["name"] = f"can hold letters, digits, spaces and . / _ ' - only, up to {MAX_NAME} characters"
    for field, text in (("description", description), ("reason", reason)):
        if text is not None and len(text) > MAX_TEXT:
            wrong[field] = f"must be at most {MAX_TEXT} characters"
    if wrong:
        raise InvalidFields(wrong)

"""Apps, deployments and pins, and their rules."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from deploy_service.errors import (
    DeploymentFinished,
    EnvironmentNotFound,
    NoOtherEnvironment,
    RuntimeDeprecated,
    RuntimeIsDefault,
    SameEnvironment,
)
from service_kit.access.file import Project
from service_kit.errors import InvalidFields

JOINERS = "\u200c\u200d"
"""Zero-width joiners. Persian, Hindi and other scripts need them in words."""
RUNTIME_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,64}")
LOCKED_PACKAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(\[[A-Za-z0-9,._-]{1,256}\])?==[A-Za-z0-9.!+_-]{1,128}( ?; ?[^\\]{1,500})?"
)
"""A package name and an exact version. Other sources and installer options are invalid."""
MAX_LOCK_BYTES = 262_144
MAX_NAME = 128
MAX_TEXT = 512


@dataclass(frozen=True, slots=True)
class Runtime:
    id: UUID
    version: str
    label: str
    is_default: bool
    deprecated: bool
    lock_digest: bytes | None = None
    """Digest of the current lock. None without a lock."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A workflow version as a deployment records it. It never changes."""

    workflow_id: UUID
    workflow_name: str
    workflow_description: str
    version_id: UUID
    version_number: int
    version_description: str
    version_digest: bytes
    version_created_at: datetime
    loadable_digest: bytes | None = None
    """Digest of the document that replicas load. None if it is not stored, or if the SDK cannot load the flow."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A pin, a runtime and a configuration (JSON bytes) in one environment of an app, with the outcome of the
    rollout."""

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
    source_deployment_id: UUID | None
    health: str | None
    health_note: str | None
    drained_at: datetime | None = None
    """When the last call ended that was running when the deployment was replaced."""
    drained_calls: int | None = None
    killed_calls: int | None = None
    rollout_notes: tuple[str, ...] = ()
    runtime_digest: bytes | None = None
    """Digest of the runtime's lock. None if it had no lock."""

    @property
    def is_live(self) -> bool:
        return self.live_from is not None and self.live_to is None

    def check_canceled(self) -> None:
        """Raises DeploymentFinished if the deployment ended for another reason before the cancel."""
        if self.status != "canceled":
            raise DeploymentFinished(self.status)


@dataclass(frozen=True, slots=True)
class App:
    """An app serves one pinned version in each environment. `live` maps environments to what they serve."""

    project_id: UUID
    id: UUID
    name: str
    description: str
    access_type: str
    created_at: datetime
    created_by: UUID
    updated_at: datetime
    updated_by: UUID
    archived_at: datetime | None
    archived_by: UUID | None
    newest_deployment_id: UUID | None
    live: dict[str, Deployment]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key for calling a project's apps, without its secret."""

    project_id: UUID
    id: UUID
    name: str
    preview: str
    created_at: datetime
    created_by: UUID
    expires_at: datetime | None
    revoked_at: datetime | None


def environment_of(project: Project, asked: str | None, field: str = "environment") -> str:
    """The requested environment, by default the project's last one. Raises EnvironmentNotFound naming `field`."""
    if asked is None:
        return project.environments[-1]
    if asked not in project.environments:
        raise EnvironmentNotFound(asked, project.environments, field)
    return asked


def promotion_of(project: Project, target: str | None, source: str | None) -> tuple[str, str]:
    """Target and source of a promotion. By default the last environment, and the one before the target.

    Raises EnvironmentNotFound, NoOtherEnvironment or SameEnvironment.
    """
    to = environment_of(project, target)
    before = project.environments.index(to) - 1
    if source is not None:
        source = environment_of(project, source, "from_environment")
    if len(project.environments) == 1 or (source is None and before < 0):
        raise NoOtherEnvironment(to)
    if source == to:
        raise SameEnvironment
    return source or project.environments[before], to


def kind_of(pin: Pin, live: Deployment | None) -> str:
    """A deploy is a rollback if its version number is lower than that of the live version of the same workflow."""
    goes_back = (
        live is not None and live.pin.workflow_id == pin.workflow_id and pin.version_number < live.pin.version_number
    )
    return "rollback" if goes_back else "deploy"


def check_runtime(runtime: Runtime, live: Deployment | None) -> None:
    """A deprecated runtime can be deployed only where it is live."""
    if runtime.deprecated and not (live is not None and live.runtime_id == runtime.id):
        raise RuntimeDeprecated


def check_runtime_change(runtime: Runtime, default: bool | None, deprecated: bool | None) -> None:
    """The default runtime cannot be deprecated. It stays the default until another one becomes the default. Raises
    RuntimeIsDefault."""
    stops = runtime.is_default and default is False
    is_default = runtime.is_default if default is None else default
    is_deprecated = runtime.deprecated if deprecated is None else deprecated
    if stops or (is_default and is_deprecated):
        raise RuntimeIsDefault


def check_texts(
    *, name: str | None = None, description: str | None = None, reason: str | None = None, note: str | None = None
) -> None:
    """Check the texts that people type. Raises InvalidFields naming each invalid field."""
    wrong = {}
    if name is not None and not name.strip(f" {JOINERS}"):
        wrong["name"] = "cannot be blank"
    elif name is not None and not (is_app_name(name) and len(name) <= MAX_NAME):
        wrong["name"] = (
            f"must contain only letters and digits of any script, spaces and . / _ ' -, up to {MAX_NAME} characters"
        )
    for field, text in (("description", description), ("reason", reason), ("note", note)):
        if text is not None and len(text) > MAX_TEXT:
            wrong[field] = f"must be at most {MAX_TEXT} characters"
    if wrong:
        raise InvalidFields(wrong)


def is_app_name(name: str) -> bool:
    """Letters and digits of any script, with their marks (accents, vowel signs), spaces and . / _ ' -"""
    return all(each in f" ./_'-{JOINERS}" or unicodedata.category(each)[0] in "LMN" for each in name)


def check_labels(*, name: str | None = None, label: str | None = None, version: str | None = None) -> None:
    """Check an access key's name or a runtime's label and version. Raises InvalidFields naming each invalid field."""
    wrong = {}
    for field, text in (("name", name), ("label", label)):
        if text is not None and not (text.strip() and len(text) <= MAX_NAME):
            wrong[field] = f"must be 1 to {MAX_NAME} characters and not blank"
    if version is not None and not RUNTIME_VERSION.fullmatch(version):
        wrong["version"] = "must contain only letters, digits and . _ - +, up to 64 characters"
    if wrong:
        raise InvalidFields(wrong)


def check_lock(lock: str) -> bytes:
    """A runtime's lock in its stored form. Raises InvalidFields unless each line is a package name with an exact
    version."""
    kept = lock.encode()
    lines = lock.splitlines()
    if len(kept) > MAX_LOCK_BYTES:
        raise InvalidFields({"lock": f"must be at most {MAX_LOCK_BYTES:,} bytes"})
    wrong = next((n for n, line in enumerate(lines, 1) if not LOCKED_PACKAGE.fullmatch(line)), None if lines else 1)
    if wrong is not None:
        raise InvalidFields({"lock": f"must have name==version in each line, and has not in line {wrong}"})
    return kept

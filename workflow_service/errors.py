"""Errors about workflows and versions. The contract lists the reasons per RPC."""

from collections.abc import Mapping

from service_kit.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    sentences,
)
from service_kit.problems import Problems


class WorkflowNotFound(NotFound):
    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("Workflow not found.", workflow_id=str(workflow_id))


class VersionNotFound(NotFound):
    reason = "VERSION_NOT_FOUND"

    def __init__(self, version: object) -> None:
        super().__init__("Version not found.", version=str(version))


class WorkflowNotDraft(FailedPrecondition):
    reason = "WORKFLOW_NOT_DRAFT"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("Only draft workflows can be released.", workflow_id=str(workflow_id))


class VersionIsLatest(FailedPrecondition):
    reason = "VERSION_IS_LATEST"

    def __init__(self, workflow_id: object, verb: str) -> None:
        super().__init__(f"Cannot {verb} the latest version of a workflow.", workflow_id=str(workflow_id))


class VersionLabeled(FailedPrecondition):
    reason = "VERSION_LABELED"

    def __init__(self, labels: str) -> None:
        super().__init__(f"The version is labeled {labels}. Move or remove the label first.", labels=labels)


class LabelNotFound(NotFound):
    reason = "LABEL_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("Label not found.", label=name)


class TooManyLabels(FailedPrecondition):
    reason = "TOO_MANY_LABELS"

    def __init__(self, names: int) -> None:
        super().__init__(f"The workflow has had {names} labels, the maximum. Use one of their names.")


class LabelConflict(Aborted):
    """Someone else has moved the label meanwhile. The details describe the move."""

    reason = "LABEL_CONFLICT"


class WorkflowNotReleased(FailedPrecondition):
    reason = "WORKFLOW_NOT_RELEASED"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("The workflow is a draft. Save or release it first.", workflow_id=str(workflow_id))


class VersionOfOtherWorkflow(FailedPrecondition):
    reason = "VERSION_OF_OTHER_WORKFLOW"

    def __init__(self, version_id: object) -> None:
        super().__init__("The version belongs to another workflow.", version_id=str(version_id))


class VersionDeleted(FailedPrecondition):
    reason = "VERSION_DELETED"

    def __init__(self, version_id: object) -> None:
        super().__init__("The version has been deleted.", version_id=str(version_id))


class NoSuchVersion(InvalidArgument):
    """The body names a version that the workflow does not have."""

    reason = "VERSION_NOT_FOUND"

    def __init__(self, field: str) -> None:
        super().__init__("Version not found.", fields={field: "must be a version of the workflow"})


class BaseNotFound(InvalidArgument):
    reason = "BASE_NOT_FOUND"

    def __init__(self, field: str) -> None:
        super().__init__("Version not found.", fields={field: "must be a version of the workflow"})


class VersionConflict(Aborted):
    """Someone else has saved a version meanwhile, `winner`."""

    reason = "VERSION_CONFLICT"

    def __init__(
        self, *, author: str, author_id: str, label: str, version: str, version_id: str, created_at: str, nodes: str
    ) -> None:
        super().__init__(
            f"{author} saved {label} since the version that this save is based on.",
            author=author,
            author_id=author_id,
            version=version,
            version_id=version_id,
            created_at=created_at,
            nodes=nodes,
        )


class InvalidFlow(InvalidArgument):
    """The flow fails its check; `problems` maps the path of each problem to a sentence."""

    reason = "INVALID_FLOW"

    def __init__(self, problems: Mapping[str, str]) -> None:
        fields = problems.with_number_of_more("flow") if isinstance(problems, Problems) else problems
        super().__init__(sentences(problems), fields=fields)


class FlowTooLarge(ResourceExhausted):
    reason = "FLOW_TOO_LARGE"

    def __init__(self, field: str, limit: int) -> None:
        sentence = f"must be at most {limit / (1 << 20):g} MiB"
        super().__init__(f"{field} {sentence}", fields={field: sentence})


class InvalidConfig(InvalidArgument):
    """A config.yaml cannot be imported; `problems` maps the path of each problem to a sentence."""

    reason = "INVALID_CONFIG"

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(sentences(problems), fields=problems)


class SeveralWorkflows(InvalidArgument):
    reason = "SEVERAL_WORKFLOWS"

    def __init__(self, names: str) -> None:
        sentence = f"must be one of {names}"
        super().__init__(f"The file has several workflows. Choose one of {names}.", fields={"workflow": sentence})


class ConfigTooLarge(ResourceExhausted):
    reason = "CONFIG_TOO_LARGE"

    def __init__(self, sentence: str) -> None:
        super().__init__(f"config {sentence}", fields={"config": sentence})

"""What can go wrong with workflows and versions; the contract lists the reasons per RPC."""

from collections.abc import Mapping

from service_kit.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, sentences


class WorkflowNotFound(NotFound):
    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("There is no such workflow.", workflow_id=str(workflow_id))


class VersionNotFound(NotFound):
    reason = "VERSION_NOT_FOUND"

    def __init__(self, version: object) -> None:
        super().__init__("The workflow has no such version.", version=str(version))


class WorkflowNotDraft(FailedPrecondition):
    reason = "WORKFLOW_NOT_DRAFT"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("Only draft workflows can be released.", workflow_id=str(workflow_id))


class VersionIsLatest(FailedPrecondition):
    reason = "VERSION_IS_LATEST"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("Cannot archive the latest version of a workflow.", workflow_id=str(workflow_id))


class WorkflowNotReleased(FailedPrecondition):
    reason = "WORKFLOW_NOT_RELEASED"

    def __init__(self, workflow_id: object) -> None:
        super().__init__("The workflow is a draft: save or release it first.", workflow_id=str(workflow_id))


class VersionOfOtherWorkflow(FailedPrecondition):
    reason = "VERSION_OF_OTHER_WORKFLOW"

    def __init__(self, version_id: object) -> None:
        super().__init__("The version belongs to another workflow.", version_id=str(version_id))


class InvalidFlow(InvalidArgument):
    """The flow fails its check; `problems` maps the path of each problem to a sentence."""

    reason = "INVALID_FLOW"

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(sentences(problems), fields=problems)


class FlowTooLarge(ResourceExhausted):
    reason = "FLOW_TOO_LARGE"

    def __init__(self, field: str, limit: int) -> None:
        sentence = f"is larger than {limit / (1 << 20):g} MiB"
        super().__init__(f"{field} {sentence}", fields={field: sentence})


class InvalidConfig(InvalidArgument):
    """A config.yaml cannot be imported; `problems` maps the path of each problem to a sentence."""

    reason = "INVALID_CONFIG"

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(sentences(problems), fields=problems)


class SeveralWorkflows(InvalidArgument):
    reason = "SEVERAL_WORKFLOWS"

    def __init__(self, names: str) -> None:
        sentence = f"must be one of those in the file: {names}"
        super().__init__(f"The file holds several workflows; name one of {names}.", fields={"workflow": sentence})


class ConfigTooLarge(ResourceExhausted):
    reason = "CONFIG_TOO_LARGE"

    def __init__(self, sentence: str) -> None:
        super().__init__(f"config {sentence}", fields={"config": sentence})

"""What can go wrong with apps and deployments; the contract lists the reasons per RPC."""

from service_kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable


class AppNotFound(NotFound):
    reason = "APP_NOT_FOUND"

    def __init__(self, app_id: object) -> None:
        super().__init__("There is no such app.", app_id=str(app_id))


class DeploymentNotFound(NotFound):
    reason = "DEPLOYMENT_NOT_FOUND"

    def __init__(self, deployment_id: object) -> None:
        super().__init__("There is no such deployment.", deployment_id=str(deployment_id))


class WorkflowNotFound(InvalidArgument):
    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "The project has no such workflow.", fields={"workflow_id": "names no workflow of the project"}
        )


class VersionNotFound(InvalidArgument):
    reason = "VERSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "The workflow has no such version.", fields={"workflow_version_id": "names no version of the workflow"}
        )


class VersionOfOtherWorkflow(FailedPrecondition):
    reason = "VERSION_OF_OTHER_WORKFLOW"

    def __init__(self) -> None:
        super().__init__(
            "The version belongs to another workflow.",
            fields={"workflow_version_id": "names a version of another workflow"},
        )


class VersionDeleted(FailedPrecondition):
    reason = "VERSION_DELETED"

    def __init__(self) -> None:
        super().__init__(
            "The version has been deleted.", fields={"workflow_version_id": "names a version that has been deleted"}
        )


class WorkflowNotReleased(FailedPrecondition):
    reason = "WORKFLOW_NOT_RELEASED"

    def __init__(self) -> None:
        super().__init__("The workflow is a draft: save or release it first.", fields={"workflow_id": "names a draft"})


class WorkflowServiceUnavailable(Unavailable):
    reason = "WORKFLOW_SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The workflow service does not answer, and this app has never had this version live. Nothing was changed.",
            retry_after=1,
        )


class RuntimeNotFound(InvalidArgument):
    reason = "RUNTIME_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such runtime.", fields={"runtime_id": "names no runtime"})


class RuntimeDeprecated(FailedPrecondition):
    reason = "RUNTIME_DEPRECATED"

    def __init__(self) -> None:
        super().__init__(
            "The runtime is deprecated and not live here.", fields={"runtime_id": "names a deprecated runtime"}
        )


class EnvironmentNotFound(InvalidArgument):
    reason = "ENVIRONMENT_NOT_FOUND"

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        sentence = f"must be one of {', '.join(known)}"
        super().__init__(f"The project has no environment {name!r}.", fields={"environment": sentence})


class DeploymentFinished(FailedPrecondition):
    reason = "DEPLOYMENT_FINISHED"

    def __init__(self, status: str) -> None:
        super().__init__(f"The deployment has {status} already and cannot be canceled.", status=status)

"""What can go wrong with apps and deployments; the contract lists the reasons per RPC."""

from service_kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable


class AppNotFound(NotFound):
    reason = "APP_NOT_FOUND"

    def __init__(self, app_id: object) -> None:
        super().__init__("There is no such app.", app_id=str(app_id))


class DeploymentNotFound(NotFound):
    reason = "DEPLOYMENT_NOT_FOUND"

    def __init__(self, deployment_id: object) -> None:
        super().__init__("There is no such deployment.", deployment_id=str(deployment_id))


class LoadableNotFound(NotFound):
    reason = "LOADABLE_NOT_FOUND"

    def __init__(self, digest: str) -> None:
        super().__init__("No deployment of the project pins this digest.", digest=digest)


class RouterNotFound(NotFound):
    reason = "ROUTER_NOT_FOUND"

    def __init__(self, router_id: object) -> None:
        super().__init__("No such router watches routes. Call WatchRoutes first.", router_id=str(router_id))


class VariableNotFound(NotFound):
    reason = "VARIABLE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("The app has no such variable there.", name=name)


class TooManyVariables(FailedPrecondition):
    reason = "TOO_MANY_VARIABLES"

    def __init__(self, most: int) -> None:
        super().__init__(f"An app has at most {most} variables. Delete one first.")


class VariableKeysMissing(FailedPrecondition):
    reason = "VARIABLE_KEYS_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "Variables are kept encrypted, and this installation has no key for that. Set DEPLOY_VARIABLE_KEYS of the "
            "deploy service (openssl rand -hex 32 makes a key) and try again."
        )


class VariablesUnreadable(FailedPrecondition):
    reason = "VARIABLES_UNREADABLE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The value of {name} cannot be decrypted with the keys in DEPLOY_VARIABLE_KEYS. Put the key back that it "
            "was encrypted with, or set the variable again.",
            name=name,
        )


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

    def __init__(self, name: str, known: tuple[str, ...], field: str = "environment") -> None:
        sentence = f"must be one of {', '.join(known)}"
        super().__init__(f"The project has no environment {name!r}.", fields={field: sentence})


class DeploymentFinished(FailedPrecondition):
    reason = "DEPLOYMENT_FINISHED"

    def __init__(self, status: str) -> None:
        super().__init__(f"The deployment has {status} already and cannot be canceled.", status=status)


class AppArchived(FailedPrecondition):
    reason = "APP_ARCHIVED"

    def __init__(self) -> None:
        super().__init__("The app is archived: unarchive it first.")


class VersionMarkedBad(FailedPrecondition):
    reason = "VERSION_MARKED_BAD"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"Version v{version} is marked bad for this app. Set `force` to deploy it all the same.",
            fields={"force": "must be set to deploy a version that is marked bad"},
        )


class PlanOutdated(Aborted):
    reason = "PLAN_OUTDATED"

    def __init__(self) -> None:
        super().__init__(
            "Something that the plan saw has moved since. Plan again.",
            fields={"plan_token": "is of a plan that no longer holds"},
        )


class LiveMoved(Aborted):
    reason = "LIVE_MOVED"

    def __init__(self, environment: str) -> None:
        super().__init__(f"Another deployment went live in {environment} meanwhile. Look at it and decide again.")


class SourceNotFound(InvalidArgument):
    reason = "DEPLOYMENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "The app has no such deployment in that environment.",
            fields={"deployment_id": "names no deployment of the app in that environment"},
        )


class DeploymentNeverLive(FailedPrecondition):
    reason = "DEPLOYMENT_NEVER_LIVE"

    def __init__(self) -> None:
        super().__init__(
            "The deployment was never live, so there is nothing to go back to.",
            fields={"deployment_id": "names a deployment that was never live"},
        )


class NothingToRollBackTo(FailedPrecondition):
    reason = "NOTHING_TO_ROLL_BACK_TO"

    def __init__(self, environment: str) -> None:
        super().__init__(f"Nothing older was live in {environment} that is not marked bad.")


class NoOtherEnvironment(FailedPrecondition):
    reason = "NO_OTHER_ENVIRONMENT"

    def __init__(self, target: str) -> None:
        super().__init__(f"No environment of the project comes before {target}, so there is nothing to promote from.")


class SameEnvironment(InvalidArgument):
    reason = "SAME_ENVIRONMENT"

    def __init__(self) -> None:
        super().__init__(
            "Source and target are the same environment.", fields={"from_environment": "must differ from environment"}
        )


class NothingLive(FailedPrecondition):
    reason = "NOTHING_LIVE"

    def __init__(self, environment: str) -> None:
        super().__init__(f"Nothing is live in {environment}.")


class NoSuchRuntime(NotFound):
    """The path names a runtime that there is not; RuntimeNotFound is a body's."""

    reason = "RUNTIME_NOT_FOUND"

    def __init__(self, runtime_id: object) -> None:
        super().__init__("There is no such runtime.", runtime_id=str(runtime_id))


class AccessKeyExists(AlreadyExists):
    """A repeat of the call that made a key, whose secret is not kept."""

    reason = "ACCESS_KEY_EXISTS"

    def __init__(self, access_key_id: str, preview: str) -> None:
        super().__init__(
            f"This idempotency key has made the access key {preview}, whose secret was answered once and is not kept. "
            "If you never got it, revoke that key and make another with a new idempotency key.",
            access_key_id=access_key_id,
            preview=preview,
        )


class RuntimeExists(AlreadyExists):
    reason = "RUNTIME_EXISTS"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"There is a runtime of the version {version} already.", fields={"version": "is another runtime's"}
        )


class RuntimeIsDefault(FailedPrecondition):
    reason = "RUNTIME_IS_DEFAULT"

    def __init__(self) -> None:
        super().__init__(
            "The default runtime can neither be deprecated nor stop being it: make another one the default."
        )


class AccessKeyNotFound(NotFound):
    reason = "ACCESS_KEY_NOT_FOUND"

    def __init__(self, access_key_id: object) -> None:
        super().__init__("There is no such access key.", access_key_id=str(access_key_id))

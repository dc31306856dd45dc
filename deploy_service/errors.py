"""Errors about apps and deployments. The contract lists the reasons per RPC."""

from service_kit.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable


class AppNotFound(NotFound):
    reason = "APP_NOT_FOUND"

    def __init__(self, app_id: object) -> None:
        super().__init__("App not found.", app_id=str(app_id))


class DeploymentNotFound(NotFound):
    reason = "DEPLOYMENT_NOT_FOUND"

    def __init__(self, deployment_id: object) -> None:
        super().__init__("Deployment not found.", deployment_id=str(deployment_id))


class LoadableNotFound(NotFound):
    reason = "LOADABLE_NOT_FOUND"

    def __init__(self, digest: str) -> None:
        super().__init__("Loadable not found.", digest=digest)


class RouterNotFound(NotFound):
    reason = "ROUTER_NOT_FOUND"

    def __init__(self, router_id: object) -> None:
        super().__init__("Router not found. Call WatchRoutes first.", router_id=str(router_id))


class VariableNotFound(NotFound):
    reason = "VARIABLE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("Variable not found.", name=name)


class TooManyVariables(FailedPrecondition):
    reason = "TOO_MANY_VARIABLES"

    def __init__(self, most: int) -> None:
        super().__init__(f"An app has at most {most} variables. Delete one first.")


class VariableKeysMissing(FailedPrecondition):
    reason = "VARIABLE_KEYS_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "Variables are stored encrypted, and this installation has no key. Set DEPLOY_VARIABLE_KEYS of the deploy "
            "service (openssl rand -hex 32 creates a key) and try again."
        )


class VariablesUnreadable(FailedPrecondition):
    reason = "VARIABLES_UNREADABLE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The value of {name} cannot be decrypted with the keys in DEPLOY_VARIABLE_KEYS. Restore the key that "
            "encrypted it, or set the variable again.",
            name=name,
        )


class WorkflowNotFound(InvalidArgument):
    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Workflow not found.", fields={"workflow_id": "must be a workflow of the project"})


class VersionNotFound(InvalidArgument):
    reason = "VERSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Version not found.", fields={"workflow_version_id": "must be a version of the workflow"})


class VersionOfOtherWorkflow(FailedPrecondition):
    reason = "VERSION_OF_OTHER_WORKFLOW"

    def __init__(self) -> None:
        super().__init__(
            "The version belongs to another workflow.",
            fields={"workflow_version_id": "must be a version of this workflow"},
        )


class VersionDeleted(FailedPrecondition):
    reason = "VERSION_DELETED"

    def __init__(self) -> None:
        super().__init__(
            "The version has been deleted.", fields={"workflow_version_id": "must not be a deleted version"}
        )


class WorkflowNotReleased(FailedPrecondition):
    reason = "WORKFLOW_NOT_RELEASED"

    def __init__(self) -> None:
        super().__init__(
            "The workflow is a draft. Save or release it first.", fields={"workflow_id": "must not be a draft"}
        )


class WorkflowServiceUnavailable(Unavailable):
    reason = "WORKFLOW_SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The workflow service does not answer, and this version was never live in this app. Nothing was changed.",
            retry_after=1,
        )


class AccountNotPermitted(Unavailable):
    """The workflow service refuses this service's own account, for example because an org was added after the start."""

    reason = "DEPLOY_ACCOUNT_NOT_PERMITTED"

    def __init__(self) -> None:
        super().__init__(
            "The deploy service's own account may not read workflows of this project: give its token the role viewer "
            "in the project's org in access.yaml, or start `flowpin up` again, which does. Nothing was changed.",
            retry_after=30,
        )


class ExportUnavailable(Unavailable):
    reason = "EXPORT_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The workflow service, which packs flows, does not answer. The flow itself can be read without it.",
            retry_after=1,
        )


class RuntimeNotFound(InvalidArgument):
    reason = "RUNTIME_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Runtime not found.", fields={"runtime_id": "must be an existing runtime"})


class RuntimeDeprecated(FailedPrecondition):
    reason = "RUNTIME_DEPRECATED"

    def __init__(self) -> None:
        super().__init__(
            "The runtime is deprecated and not live here.", fields={"runtime_id": "must not be a deprecated runtime"}
        )


class EnvironmentNotFound(InvalidArgument):
    reason = "ENVIRONMENT_NOT_FOUND"

    def __init__(self, name: str, known: tuple[str, ...], field: str = "environment") -> None:
        sentence = f"must be one of {', '.join(known)}"
        super().__init__(f"The project has no environment {name!r}.", fields={field: sentence})


class DeploymentFinished(FailedPrecondition):
    reason = "DEPLOYMENT_FINISHED"

    def __init__(self, status: str) -> None:
        super().__init__(f"The deployment has already {status} and cannot be canceled.", status=status)


class AppArchived(FailedPrecondition):
    reason = "APP_ARCHIVED"

    def __init__(self) -> None:
        super().__init__("The app is archived. Unarchive it first.")


class VersionMarkedBad(FailedPrecondition):
    reason = "VERSION_MARKED_BAD"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"Version v{version} is marked bad for this app. Set `force` to deploy it anyway.",
            fields={"force": "must be set to deploy a version that is marked bad"},
        )


class PlanOutdated(Aborted):
    reason = "PLAN_OUTDATED"

    def __init__(self) -> None:
        super().__init__(
            "Something in the plan has changed since. Plan again.",
            fields={"plan_token": "must be of a plan that is still current"},
        )


class LiveMoved(Aborted):
    reason = "LIVE_MOVED"

    def __init__(self, environment: str) -> None:
        super().__init__(f"Another deployment went live in {environment} meanwhile. Check it and try again.")


class SourceNotFound(InvalidArgument):
    reason = "DEPLOYMENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "Deployment not found.",
            fields={"deployment_id": "must be a deployment of the app in that environment"},
        )


class DeploymentNeverLive(FailedPrecondition):
    reason = "DEPLOYMENT_NEVER_LIVE"

    def __init__(self) -> None:
        super().__init__(
            "The deployment was never live, so it cannot be rolled back to.",
            fields={"deployment_id": "must be a deployment that was live"},
        )


class NothingToRollBackTo(FailedPrecondition):
    reason = "NOTHING_TO_ROLL_BACK_TO"

    def __init__(self, environment: str) -> None:
        super().__init__(f"Nothing older was live in {environment} that is not marked bad.")


class NoOtherEnvironment(FailedPrecondition):
    reason = "NO_OTHER_ENVIRONMENT"

    def __init__(self, target: str) -> None:
        super().__init__(f"The project has no environment before {target} to promote from.")


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
    """The path names an unknown runtime. RuntimeNotFound is for bodies."""

    reason = "RUNTIME_NOT_FOUND"

    def __init__(self, runtime_id: object) -> None:
        super().__init__("Runtime not found.", runtime_id=str(runtime_id))


class RuntimeLockNotFound(NotFound):
    reason = "RUNTIME_LOCK_NOT_FOUND"

    def __init__(self, runtime_id: object) -> None:
        super().__init__("Runtime lock not found.", runtime_id=str(runtime_id))


class AccessKeyExists(AlreadyExists):
    """The call that created a key was repeated, but the key's secret is not stored."""

    reason = "ACCESS_KEY_EXISTS"

    def __init__(self, access_key_id: str, preview: str) -> None:
        super().__init__(
            f"This idempotency key created the access key {preview}. Its secret was returned once and is not kept. "
            "If you did not receive it, revoke that key and create another with a new idempotency key.",
            access_key_id=access_key_id,
            preview=preview,
        )


class RuntimeExists(AlreadyExists):
    reason = "RUNTIME_EXISTS"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"A runtime of the version {version} already exists.",
            fields={"version": "must not be the version of another runtime"},
        )


class RuntimeIsDefault(FailedPrecondition):
    reason = "RUNTIME_IS_DEFAULT"

    def __init__(self) -> None:
        super().__init__("The default runtime cannot be deprecated or unset. Make another one the default first.")


class AccessKeyNotFound(NotFound):
    reason = "ACCESS_KEY_NOT_FOUND"

    def __init__(self, access_key_id: object) -> None:
        super().__init__("Access key not found.", access_key_id=str(access_key_id))

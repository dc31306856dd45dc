"""Errors about runs and calls of apps. The contract lists the reasons per RPC."""

from service_kit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServiceError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    sentences,
)


class AppNotFound(NotFound):
    reason = "APP_NOT_FOUND"

    def __init__(self, app_id: object) -> None:
        super().__init__("App not found.", app_id=str(app_id))


class RunNotFound(NotFound):
    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: object) -> None:
        super().__init__("Run not found.", run_id=str(run_id))


class HostUnknown(NotFound):
    """Neither the Host header nor the path names an app."""

    reason = "APP_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("App not found. Call /apps/<app id>, or <app id>.<the domain of apps>.")


class AppNotServed(NotFound):
    """An app that does not exist for the caller: unknown, deleted, archived, or without a live deployment."""

    reason = "APP_NOT_FOUND"

    def __init__(self, why: str = "App not found.") -> None:
        super().__init__(why)


class PathUnknown(NotFound):
    reason = "PATH_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Path not found. Call an app with POST to its address.")


class KeyMissing(Unauthenticated):
    reason = "ACCESS_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("The access key is missing. Send `Authorization: Bearer dynamiq_acc_…`.")


class KeyInvalid(Unauthenticated):
    reason = "ACCESS_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("The access key is unknown, revoked or expired.")


class NotAnAccessKey(PermissionDenied):
    reason = "NOT_AN_ACCESS_KEY"

    def __init__(self) -> None:
        super().__init__("Apps do not accept Personal Access Tokens. Send an access key of the app's project.")


class KeyOfOtherProject(PermissionDenied):
    reason = "KEY_OF_OTHER_PROJECT"

    def __init__(self) -> None:
        super().__init__("The access key belongs to another project than the app.")


class BodyMalformed(InvalidArgument):
    def __init__(self, message: str) -> None:
        super().__init__(message)


class MediaTypeUnsupported(InvalidArgument):
    """Answered with 415."""

    reason = "MEDIA_TYPE_UNSUPPORTED"

    def __init__(self) -> None:
        super().__init__("Content-Type must be application/json or multipart/form-data.")


class NotImplementedYet(Unimplemented):
    """A part of the contract that is not implemented yet; answered with 501."""


class AppNotInProject(InvalidArgument):
    """A test names an app or an environment whose variables it cannot use."""

    reason = "APP_NOT_IN_PROJECT"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentences({field: sentence}), fields={field: sentence})


class FlowNotStarted(FailedPrecondition):
    """The flow under test has an error, which the message describes."""

    reason = "FLOW_NOT_STARTED"


class TooManyTests(ResourceExhausted):
    reason = "TOO_MANY_TESTS"

    def __init__(self) -> None:
        super().__init__("The maximum number of tests is in progress. Try again shortly.", retry_after=1)


class NoSlot(ResourceExhausted):
    reason = "NO_SLOT"

    def __init__(self, slots: int) -> None:
        super().__init__(f"The app has {slots} runs in progress, its maximum. Try again shortly.", retry_after=1)


class NoReplica(Unavailable):
    """No replica of the deployment is up. The message says why."""

    reason = "NO_REPLICA"

    def __init__(self, message: str, retry_after: float = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class RoutesUnknown(Unavailable):
    reason = "ROUTES_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("The live apps are not known yet, because the deploy service has not answered.", retry_after=1)


class RunFailed(ServiceError):
    """The flow or its replica failed. Answered with 500 and the code `run_failed`."""

    reason = "RUN_FAILED"

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.metadata = details


class RunTimedOut(DeadlineExceeded):
    reason = "RUN_TIMED_OUT"

    def __init__(self, seconds: float, **details: str) -> None:
        super().__init__(f"The run was canceled after {seconds:g} s, the time limit.")
        self.metadata = details


class RunCanceled(Unavailable):
    """The run was canceled, but not by its caller."""

    reason = "RUN_CANCELED"

    def __init__(self, **details: str) -> None:
        super().__init__("The run was canceled before it ended.", retry_after=1)
        self.metadata = details

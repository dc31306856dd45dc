"""What can go wrong with runs and with calls of apps; the contract lists the reasons per RPC."""

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
        super().__init__("There is no such app.", app_id=str(app_id))


class RunNotFound(NotFound):
    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: object) -> None:
        super().__init__("There is no such run.", run_id=str(run_id))


class HostUnknown(NotFound):
    """Neither the Host header nor the path names an app."""

    reason = "APP_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("No app answers here. Call /apps/<app id>, or <app id>.<the domain of apps>.")


class AppNotServed(NotFound):
    """An app that there is not, for whoever calls it: unknown, deleted, archived, or with nothing live there."""

    reason = "APP_NOT_FOUND"

    def __init__(self, why: str = "There is no such app.") -> None:
        super().__init__(why)


class PathUnknown(NotFound):
    reason = "PATH_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("An app is called by POST to its address itself: there is nothing at this path of it.")


class KeyMissing(Unauthenticated):
    reason = "ACCESS_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("The call carries no access key. Send `Authorization: Bearer dynamiq_acc_…`.")


class KeyInvalid(Unauthenticated):
    reason = "ACCESS_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("The access key is not known, or was revoked, or has expired.")


class NotAnAccessKey(PermissionDenied):
    reason = "NOT_AN_ACCESS_KEY"

    def __init__(self) -> None:
        super().__init__("A Personal Access Token does not open an app. Send an access key of the app's project.")


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
    """A part of the contract that a later release brings; answered with 501."""


class AppNotInProject(InvalidArgument):
    """A test names an app, or an environment, whose variables it cannot have."""

    reason = "APP_NOT_IN_PROJECT"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentences({field: sentence}), fields={field: sentence})


class FlowNotStarted(FailedPrecondition):
    """The flow under test is at fault; the message says how."""

    reason = "FLOW_NOT_STARTED"


class TooManyTests(ResourceExhausted):
    reason = "TOO_MANY_TESTS"

    def __init__(self) -> None:
        super().__init__("As many tests are under way as there may be. Try again shortly.", retry_after=1)


class NoSlot(ResourceExhausted):
    reason = "NO_SLOT"

    def __init__(self, slots: int) -> None:
        super().__init__(
            f"The app has {slots} runs under way, which is all it takes. Try again shortly.", retry_after=1
        )


class NoReplica(Unavailable):
    """Nothing is up that could serve the deployment; the message says why."""

    reason = "NO_REPLICA"

    def __init__(self, message: str, retry_after: float = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class RoutesUnknown(Unavailable):
    reason = "ROUTES_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("It is not known yet which apps are live: the deploy service has not answered.", retry_after=1)


class RunFailed(ServiceError):
    """The flow failed, or its replica did; answered with 500 and the code `run_failed`."""

    reason = "RUN_FAILED"

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.metadata = details


class RunTimedOut(DeadlineExceeded):
    reason = "RUN_TIMED_OUT"

    def __init__(self, seconds: float, **details: str) -> None:
        super().__init__(f"The run was ended after {seconds:g} s, which is as long as one may take.")
        self.metadata = details


class RunCanceled(Unavailable):
    """Somebody else than the caller ended the run."""

    reason = "RUN_CANCELED"

    def __init__(self, **details: str) -> None:
        super().__init__("The run was canceled before it had ended.", retry_after=1)
        self.metadata = details

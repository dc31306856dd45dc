"""Messages for people when a service refuses or fails, by the contract's reason or else by the gRPC code."""

from dataclasses import dataclass

from grpc import StatusCode

from service_kit.calls import UNKNOWN
from service_kit.errors import ServiceError
from service_kit.http.errors import answer_to

NAMES = {"workflow": "workflow service", "deploy": "deploy service", "run": "run service"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as a page shows it."""

    status: int
    title: str
    message: str
    """What happened."""
    advice: str
    """What to do."""
    reason: str


BY_REASON = {
    "APP_NOT_FOUND": ("No such app", "It was deleted, or it belongs to a project that you cannot see. Look in Apps."),
    "DATABASE_UNAVAILABLE": ("The database does not answer", "Try again in a moment: sending this again is safe."),
    "DEPLOYMENT_NOT_FOUND": ("No such deployment", "Look for it in the app's History."),
    "DOCUMENT_TOO_COMPLEX": ("Too large to process", "Split the workflow, or do this with the command line."),
    "FLOW_TOO_LARGE": ("The flow is too large", "Take documents out of the nodes and load them when the flow runs."),
    "CONFIG_TOO_LARGE": ("The file is too large", "Take documents out of the nodes and load them when the flow runs."),
    "IDEMPOTENCY_KEY_REUSED": (
        "This form was sent before, with other content",
        "The first one counts. Reload the page and fill the form in again.",
    ),
    "INVALID_CONFIG": ("This is not a config.yaml of the SDK", "Correct the named fields, then send it again."),
    "INVALID_FLOW": ("The flow has errors", "Correct the nodes that are named, then send it again."),
    "ISSUER_UNAVAILABLE": ("The sign-in cannot be renewed", "Try again in a moment."),
    "LABEL_CONFLICT": ("The label was moved meanwhile", "Reload the page to see its current version."),
    "LIVE_MOVED": ("Something else went live meanwhile", "Look at what is live now, then decide again."),
    "PLAN_OUTDATED": ("The plan is out of date", "Something changed since. Read the new plan, then confirm it."),
    "PROJECT_NOT_FOUND": ("No such project", "Choose another project at the top of the page."),
    "REQUEST_IN_PROGRESS": ("This is already in progress", "Wait a moment, then reload the page."),
    "ROLE_TOO_SMALL": ("Your role does not allow this", "Ask an admin of the project to do it, or for a higher role."),
    "TOO_MANY_REQUESTS": ("Too many calls are in progress", "Nothing was changed. Try again in a moment."),
    "VERSION_CONFLICT": ("Somebody saved meanwhile", "Compare both versions, then save again."),
    "VERSION_IS_LATEST": ("This is the latest version", "Save another version first, then archive or delete this one."),
    "VERSION_LABELED": ("A label names this version", "Move the label or remove it first."),
    "VERSION_NOT_FOUND": ("No such version", "It was deleted, or never saved. Look in the version history."),
    "WORKFLOW_NOT_DRAFT": ("The workflow is released already", "Save a new version instead."),
    "WORKFLOW_NOT_FOUND": (
        "No such workflow",
        "It was deleted, or it belongs to a project that you cannot see. Look in Workflows.",
    ),
}
"""Title and advice. The service's own message says what happened."""

BY_CODE = {
    StatusCode.INVALID_ARGUMENT: ("This cannot be done", "Correct the named fields, then send it again."),
    StatusCode.FAILED_PRECONDITION: ("This cannot be done now", "Reload the page to see the current state."),
    StatusCode.UNAUTHENTICATED: ("Sign in again", "The token is no longer valid: it was revoked, or it has expired."),
    StatusCode.PERMISSION_DENIED: ("You may not do this", "Ask an admin of the project."),
    StatusCode.NOT_FOUND: ("Not found", "It may have been deleted. Go back and reload the page."),
    StatusCode.ALREADY_EXISTS: ("It exists already", "Choose another name."),
    StatusCode.ABORTED: ("Something changed meanwhile", "Reload the page to see the current state, then try again."),
    StatusCode.RESOURCE_EXHAUSTED: ("Too many requests", "Nothing was changed. Try again in a moment."),
    StatusCode.UNAVAILABLE: ("A service does not answer", "Try again in a moment: sending this again is safe."),
    StatusCode.DEADLINE_EXCEEDED: ("This took too long", "Reload the page to see whether it was done."),
    StatusCode.UNIMPLEMENTED: ("Not available here", "An administrator of this installation can set it up."),
}

OURS = ("Something went wrong on our side", "Try again. If it happens again, tell an administrator the request's id.")


def failure_of(error: ServiceError, service: str = "") -> Failure:
    """The failure of a call to `service`: workflow, deploy or run."""
    title, advice = BY_REASON.get(error.reason) or BY_CODE.get(error.code, OURS)
    status, _ = answer_to(error.code, error.reason)
    message = error.message.removesuffix(UNKNOWN).rstrip()  # the message is for callers of the API
    if error.code is StatusCode.UNAVAILABLE and service and error.reason == "SERVICE_UNAVAILABLE":
        title = f"The {NAMES[service]} does not answer"
    return Failure(status, title, message, advice, error.reason)


def sentence_of(error: ServiceError, service: str = "") -> str:
    """The failure in one line, for a message on a page."""
    failure = failure_of(error, service)
    message = failure.message.rstrip(".")
    return f"{message}. {failure.advice}"

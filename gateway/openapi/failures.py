"""The errors that a contract's comments list, and those of the gateway."""

import re
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from grpc import StatusCode

from gateway.routes import Route
from service_kit import comments
from service_kit.http.errors import answer_to

ERRORS = "\nErrors:\n"
LISTS = re.compile(r"\n(Errors:\n|Every RPC can also answer)")
LISTED = re.compile(r"(?:^- |\banswer )([A-Z_]+), ([A-Z_]+): (.+(?:\n(?!- |\n).+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """A line of a comment: `CODE, REASON: when`."""

    code: StatusCode
    reason: str
    when: str

    @property
    def status(self) -> int:
        return answer_to(self.code, self.reason)[0]

    @property
    def word(self) -> str:
        """The envelope's `code`."""
        return answer_to(self.code, self.reason)[1]


KEYED = "`idempotency-key`"
"""Text in the paragraph of a service's comment that names the RPCs with an idempotency key, and their errors."""
ETAG = "the trailing metadata `etag`"
"""Text in the paragraph that names the RPCs which send an etag."""
MALFORMED_ID = Failure(StatusCode.NOT_FOUND, "INVALID_REQUEST", "an id in the path is malformed.")
OF_BODIES = (
    Failure(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "the body is over the size limit."),
    Failure(StatusCode.INVALID_ARGUMENT, "DOCUMENT_TOO_COMPLEX", "reading the body takes too much CPU time or memory."),
    Failure(StatusCode.UNAVAILABLE, "WORKER_LOST", "the process that read a large body ended. Nothing was changed."),
)
ALWAYS = (
    Failure(
        StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REQUESTS",
        "too many requests are in progress. Try again after Retry-After.",
    ),
    Failure(StatusCode.INTERNAL, "INTERNAL", "an internal error. The logs have the cause."),
    Failure(StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE", "a service cannot be reached right now."),
    Failure(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call took too long and was canceled."),
)


def failures_of(route: Route) -> list[Failure]:
    """All failures of a call, the RPC's own first. Each reason is listed once per status."""
    found = [
        *read(comments.kept()[route.rpc.full_name]),
        *shared(route.rpc.containing_service),
        *(of_keyed(route.rpc.containing_service) if takes_key(route.rpc) else []),
        *([MALFORMED_ID] if route.variables else []),
        *(OF_BODIES if route.has_body else ()),
        *ALWAYS,
    ]
    return list({(failure.status, failure.reason): failure for failure in reversed(found)}.values())[::-1]


def takes_key(rpc: MethodDescriptor) -> bool:
    """Whether the RPC reads Idempotency-Key: its service's comment names it."""
    return any(
        re.search(rf"\b{rpc.name}\b", paragraph) for paragraph in _paragraphs(rpc.containing_service, keyed=True)
    )


def sends_etag(rpc: MethodDescriptor) -> bool:
    """Whether the service sends the ETag of the answer: its comment names the RPC."""
    return any(
        re.search(rf"\b{rpc.name}\b", paragraph)
        for paragraph in _paragraphs(rpc.containing_service, keyed=False)
        if ETAG in paragraph
    )


def read(comment: str) -> list[Failure]:
    """The errors that a comment lists. Raises ValueError when a line of the list cannot be read."""
    found = [
        Failure(StatusCode[code], reason, " ".join(when.split())) for code, reason, when in LISTED.findall(comment)
    ]
    lines = re.findall(r"^- [A-Z].*", comment.partition(ERRORS)[2], re.MULTILINE)
    if len(lines) > len(found):
        raise ValueError(f"not all of these are `CODE, REASON: when`: {lines}")
    return found


def shared(service: ServiceDescriptor) -> list[Failure]:
    """The errors that a service's comment lists for every RPC."""
    return [failure for paragraph in _paragraphs(service, keyed=False) for failure in read(paragraph)]


def of_keyed(service: ServiceDescriptor) -> list[Failure]:
    """The errors that a service's comment lists for the RPCs with an idempotency key."""
    return [failure for paragraph in _paragraphs(service, keyed=True) for failure in read(paragraph)]


def _paragraphs(service: ServiceDescriptor, *, keyed: bool) -> list[str]:
    return [each for each in comments.kept()[service.full_name].split("\n\n") if (KEYED in each) is keyed]


def said(kind: Descriptor | MethodDescriptor | ServiceDescriptor) -> str:
    """A comment up to its list of errors (the answers have these), without the name that it starts with."""
    text = LISTS.split(comments.kept()[kind.full_name])[0].strip().removeprefix(f"{kind.name} ")
    return text[0].upper() + text[1:]

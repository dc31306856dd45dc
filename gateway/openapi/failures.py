"""The errors that a contract's comments list, and those that are the gateway's own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor
from grpc import StatusCode

from gateway.errors import answer_to
from gateway.openapi.texts import ERRORS
from gateway.routes import CREATES, Route
from service_kit import comments

LISTED = re.compile(r"(?:^- |\banswer )([A-Z_]+), ([A-Z_]+): (.+(?:\n(?!- |\n).+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """One line of a comment: `CODE, REASON: when`."""

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


TAKES_KEY = (*CREATES, "Save", "Release")
MALFORMED_ID = Failure(StatusCode.NOT_FOUND, "INVALID_REQUEST", "an id in the path is malformed.")
BODY_TOO_LARGE = Failure(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "the body is over the size limit.")
ALWAYS = (
    Failure(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", "too much is under way; try again after Retry-After."),
    Failure(StatusCode.INTERNAL, "INTERNAL", "something went wrong on our side; the logs say what."),
    Failure(StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE", "a service cannot be reached right now."),
    Failure(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call took too long and was given up."),
)


def failures_of(route: Route) -> list[Failure]:
    """All that a call can fail with, the RPC's own first, each reason once for each status."""
    found = [
        *read(comments.kept()[route.rpc.full_name]),
        *_of_every_rpc(route.rpc.containing_service, keyed=takes_key(route)),
        *([MALFORMED_ID] if route.variables else []),
        *([BODY_TOO_LARGE] if route.has_body else []),
        *ALWAYS,
    ]
    return list({(failure.status, failure.reason): failure for failure in reversed(found)}.values())[::-1]


def takes_key(route: Route) -> bool:
    """Whether the RPC reads Idempotency-Key: it creates, and its comment does not say that it takes none."""
    return route.rpc.name.startswith(TAKES_KEY) and "no idempotency key" not in comments.kept()[route.rpc.full_name]


def read(comment: str) -> list[Failure]:
    """The errors that a comment lists. Raises ValueError when a line of the list cannot be read."""
    found = [
        Failure(StatusCode[code], reason, " ".join(when.split())) for code, reason, when in LISTED.findall(comment)
    ]
    lines = re.findall(r"^- [A-Z].*", comment.partition(ERRORS)[2], re.MULTILINE)
    if len(lines) > len(found):
        raise ValueError(f"not all of these are `CODE, REASON: when`: {lines}")
    return found


def _of_every_rpc(service: ServiceDescriptor, *, keyed: bool) -> Iterator[Failure]:
    """A service's comment lists, by paragraph, the errors of every RPC, and those of RPCs that take a key."""
    for paragraph in comments.kept()[service.full_name].split("\n\n"):
        if keyed or "idempotency-key" not in paragraph:
            yield from read(paragraph)

"""Checks of calls of apps: each call is answered, and correctly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from flowpin_cli.verify.load.calls import Call
from flowpin_cli.verify.load.deploy_checks import WENT_LIVE, DeployHistory
from flowpin_cli.verify.load.documents import answer_of
from flowpin_cli.verify.load.operations import Point, Violation, points, went_back

AGAIN_SECONDS = 2.0
"""How long an app may leave calls unanswered, in addition to the length of a fault."""
START_SECONDS = 8.0
"""How long a process that answers calls may take to start again on a busy machine."""
IMPORT_SECONDS = 120.0
"""How long a host process may take to import the SDK. It takes 20 s on an idle machine."""


@dataclass(frozen=True)
class FaultMade:
    """A fault of the run. `what` starts with the name of the affected process."""

    name: str
    what: str
    begin: float
    end: float

    @property
    def excuses_seconds(self) -> float:
        """Additional seconds that calls may stay unanswered because of the fault."""
        took = self.end - self.begin
        if self.what.startswith("host"):
            return took + IMPORT_SECONDS
        return took + START_SECONDS if self.what.startswith(("run_service", "replica")) else took


@dataclass(frozen=True)
class Answering:
    """A version whose flow answers with its own number."""

    number: int
    answers: int


class AppHistory:
    """The calls of one app, and the versions and deployments to compare them with."""

    def __init__(
        self, deploys: DeployHistory, versions: Mapping[str, Answering], faults: Sequence[FaultMade] = ()
    ) -> None:
        """`versions` are by id. Empty if apps do not run."""
        self.deploys = deploys
        self.versions = versions
        self.faults = faults
        self.calls = sorted((call for call in deploys.calls if call.kind == "call"), key=lambda call: call.end)
        self.answered = [call for call in self.calls if call.is_answered]

    @cached_property
    def shown(self) -> list[Point]:
        """The deployment that answered each call, by its index in the history."""
        place = self.deploys.place
        return [
            Point(place[call.got["deployment"]], call.begin, call.end, call)
            for call in self.answered
            if call.got["deployment"] in place
        ]


def versions_that_answer(calls: Sequence[Call]) -> dict[str, Answering]:
    return {
        call.got["id"]: Answering(call.got["number"], call.sent["answers"])
        for call in calls
        if call.kind == "save" and call.is_answered and call.sent.get("answers") is not None
    }


def check_exact(history: AppHistory) -> Iterator[Violation]:
    """An answer is what the version in its header returns for the input, and that version is the one of the deployment
    in its header."""
    for call in history.answered:
        place = history.deploys.place.get(call.got["deployment"])
        if place is None:
            yield Violation("calls exact", "An answer names a deployment that is not in the history.", (call,))
            continue
        row = history.deploys.kept[place]
        version = history.versions.get(row.version_id)
        if version is None or call.got["version"] != f"v{version.number}":
            yield Violation("calls exact", "An answer names a version that its deployment does not pin.", (call, row))
        elif call.got["answer"] != answer_of(call.sent["call"], version.answers):
            says = "An answer is not what the version that it names gives for the input."
            yield Violation("calls exact", says, (call, row))


def check_routed(history: AppHistory) -> Iterator[Violation]:
    """A call is answered by a deployment that was live at some moment during the call.

    This does not apply to deploys whose notes name a late router.
    """
    deploys = history.deploys
    done = [
        (deploy, place)
        for deploy, place in deploys.effects
        if deploy.answers and deploy.call.got["status"] == WENT_LIVE and not deploy.call.got.get("notes")
    ]
    for before, after in went_back([*points(done), *history.shown], history.shown, or_stayed=False):
        yield Violation("calls routed", "A call was answered by what was live before.", (before.call, after.call))
    for before, after in went_back(history.shown, deploys.seen, or_stayed=False):
        yield Violation("calls routed", "A call was answered by what was not live yet.", (before.call, after.call))
    sent = {place: deploy for deploy, place in deploys.effects}
    for point in history.shown:
        row, deploy = deploys.kept[point.number], sent.get(point.number)
        if row.live_from is None:
            yield Violation("calls routed", "A call was answered by what never was live.", (point.call, row))
        elif deploy is not None and point.end < deploy.begin:
            yield Violation("calls routed", "A deploy answered a call before it was sent.", (point.call, deploy.call))


def check_answered(history: AppHistory) -> Iterator[Violation]:
    """A call is answered at least every two seconds, except during faults and the starts after them."""
    for before, after in pairwise(history.answered):
        waited = after.end - before.end
        excused = sum(
            fault.excuses_seconds
            for fault in history.faults
            if fault.begin < after.end and fault.end + fault.excuses_seconds > before.end
        )
        if waited > AGAIN_SECONDS + excused:
            failed = [call for call in history.calls if before.end < call.end < after.end]
            says = f"No call of the app was answered for {waited:.1f} s."
            yield Violation("calls answered", says, (before, *failed[-1:], after))


APP_CHECKS = (check_exact, check_routed, check_answered)

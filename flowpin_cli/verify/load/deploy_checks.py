"""Checks of deployments: compares the calls to one app with its history after the load."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from flowpin_cli.verify.load.calls import Call
from flowpin_cli.verify.load.kept import KeptDeployment
from flowpin_cli.verify.load.operations import Operation, Point, Violation, operations, points, went_back

WENT_LIVE = "succeeded"


class DeployHistory:
    """The calls to one app, and its deployments after the load, oldest first."""

    def __init__(self, calls: Sequence[Call], kept: Sequence[KeptDeployment]) -> None:
        self.calls = calls
        self.kept = kept
        self.deploys = operations(calls, "deploy", "rollback")
        self.place = {row.id: place for place, row in enumerate(kept)}
        self.by_reason = {row.reason: row for row in kept if row.reason is not None}

    @cached_property
    def effects(self) -> list[tuple[Operation, int]]:
        """The deploys and rollbacks that are in the history, with their indexes in it."""
        found = []
        for deploy in self.deploys:
            row = self.by_reason.get(deploy.name)
            identity = deploy.call.got["id"] if deploy.answers else row.id if row else ""
            if identity in self.place:
                found.append((deploy, self.place[identity]))
        return found

    @cached_property
    def seen(self) -> list[Point]:
        """The live deployments that reads returned. A 304 counts as the first answer with its ETag."""
        live = {
            (call.kind, call.got["etag"]): call.got["live"]
            for call in self.calls
            if call.kind in ("app", "deployments") and call.got.get("etag") and not call.is_unmodified
        }
        found = []
        for call in self.calls:
            if call.kind in ("app", "deployments") and call.is_answered:
                shown = live.get((call.kind, call.got["etag"])) if call.is_unmodified else call.got["live"]
                if shown in self.place:
                    found.append(Point(self.place[shown], call.begin, call.end, call))
        return found


def check_kept(history: DeployHistory) -> Iterator[Violation]:
    """Every answered deployment is in the history with the answered values, and pins the requested version."""
    for deploy in history.deploys:
        for call in deploy.answers[:1]:
            place = history.place.get(call.got["id"])
            if place is None:
                yield Violation("deploys kept", "An answered deploy is not in the history.", (call,))
                continue
            row = history.kept[place]
            asked = call.sent.get("version_id") or call.got["version_id"]
            is_as_answered = (row.reason, row.version_id) == (deploy.name, call.got["version_id"])
            is_done = call.got["status"] != WENT_LIVE or (row.status == WENT_LIVE and row.live_from is not None)
            if not is_as_answered or asked != row.version_id or not is_done:
                yield Violation("deploys kept", "A deploy is kept otherwise than it was answered.", (call, row))


def check_once(history: DeployHistory) -> Iterator[Violation]:
    """A deploy takes effect once. One without a known answer takes effect at most once, a refused one never."""
    named = {deploy.name: deploy for deploy in history.deploys}
    rows_of: dict[str, list[KeptDeployment]] = defaultdict(list)
    for row in history.kept:
        if row.reason is not None:
            rows_of[row.reason].append(row)
    for reason, rows in rows_of.items():
        deploy = named.get(reason)
        if deploy is None:
            yield Violation("deploys once", "The history holds a deploy that nobody sent.", tuple(rows[:1]))
        elif len(rows) > 1:
            yield Violation("deploys once", "One deploy is in the history several times.", (*deploy.calls, *rows))
        elif deploy.outcome == "refused":
            yield Violation("deploys once", "A deploy that was refused is in the history.", (deploy.call, *rows))
    for row in history.kept[1:]:  # the first one is the app's creation
        if row.reason is None:
            yield Violation("deploys once", "The history holds a deploy that nobody sent.", (row,))


def check_keys(history: DeployHistory) -> Iterator[Violation]:
    """Calls with the same key are answered with the same deployment."""
    for deploy in history.deploys:
        for call in deploy.answers[1:]:
            if call.got["id"] != deploy.call.got["id"]:
                yield Violation("keys once", "A key was answered with two deployments.", (deploy.call, call))


def check_order(history: DeployHistory) -> Iterator[Violation]:
    """A deploy that was answered or seen live before another was sent is earlier in the history."""
    deploys = points(history.effects)
    for before, after in went_back([*deploys, *history.seen], deploys, or_stayed=True):
        yield Violation("deploy order", "A later deploy is not later in the history.", (before.call, after.call))


def check_spans(history: DeployHistory) -> Iterator[Violation]:
    """Live spans follow each other in the order of the history, without gaps and overlaps. Exactly one deployment is
    live at the end."""
    spans = [row for row in history.kept if row.live_from is not None]
    for before, after in pairwise(spans):
        if before.live_to != after.live_from or not before.live_to:
            yield Violation("live spans", "Two deployments' live spans do not meet.", (before, after))
    live = [row for row in history.kept if row.live]
    if history.kept and (live != spans[-1:] or not live or live[0].live_to is not None):
        yield Violation("live spans", "Not exactly the newest deployment is live.", (*live, *spans[-1:]))


def check_sources(history: DeployHistory) -> Iterator[Violation]:
    """A rollback pins the version of its source deployment."""
    for row in history.kept:
        place = history.place.get(row.source_id or "")
        if place is not None and history.kept[place].version_id != row.version_id:
            pieces = (history.kept[place], row)
            yield Violation("deploys kept", "A rollback pins another version than its source.", pieces)


def check_live(history: DeployHistory) -> Iterator[Violation]:
    """The live deployment never becomes an earlier one of the history, and is never one that was not sent yet."""
    done = [
        (deploy, place)
        for deploy, place in history.effects
        if deploy.answers and deploy.call.got["status"] == WENT_LIVE
    ]
    for before, after in went_back([*points(done), *history.seen], history.seen, or_stayed=False):
        name = "etags" if after.call.is_unmodified else "live forward"
        yield Violation(name, "An older deployment was shown as live.", (before.call, after.call))
    sent = {place: deploy for deploy, place in history.effects}
    for point in history.seen:
        deploy = sent.get(point.number)
        if deploy is not None and point.end < deploy.begin:
            yield Violation("live forward", "A deploy was shown live before it was sent.", (point.call, deploy.call))


DEPLOY_CHECKS = (check_kept, check_once, check_keys, check_order, check_spans, check_sources, check_live)

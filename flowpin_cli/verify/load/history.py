"""Compares the calls of a load with the content of the installation after it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from flowpin_cli.verify.load.app_checks import APP_CHECKS, AppHistory, FaultMade, versions_that_answer
from flowpin_cli.verify.load.calls import UNREADABLE, Call
from flowpin_cli.verify.load.deploy_checks import DEPLOY_CHECKS, DeployHistory
from flowpin_cli.verify.load.kept import Kept
from flowpin_cli.verify.load.operations import Violation
from flowpin_cli.verify.load.version_checks import VERSION_CHECKS, VersionHistory

OF_APPS = ("calls exact", "calls routed", "calls answered")
"""The checks of calls of apps, if apps run."""
CHECKS = (
    "saves kept",
    "saves once",
    "save order",
    "latest forward",
    "one winner a base",
    "reads exact",
    "deploys kept",
    "deploys once",
    "deploy order",
    "live spans",
    "live forward",
    "keys once",
    "etags",
    "true refusals",
    *OF_APPS,
)
"""The names of the checks. docs/verify.md describes the promise of each."""


UNTRUE = ("401", "403", "404", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND")
"""Refusals that are never correct for the load's calls."""


def check(calls: Sequence[Call], kept: Kept, faults: Sequence[FaultMade] = ()) -> list[Violation]:
    """All violations, by workflow and app. The calls may be in any order."""
    by_target: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_target[call.target].append(call)
    found: list[Violation] = []
    answering = versions_that_answer(calls)
    for workflow, versions in kept.versions.items():
        of_workflow = VersionHistory(by_target[workflow], versions)
        for check_versions in VERSION_CHECKS:
            found += check_versions(of_workflow)
    for app, deployments in kept.deployments.items():
        of_app = DeployHistory(by_target[app], deployments)
        for check_deployments in DEPLOY_CHECKS:
            found += check_deployments(of_app)
        of_calls = AppHistory(of_app, answering, faults)
        for check_calls in APP_CHECKS:
            found += check_calls(of_calls)
    return [*found, *_readable(calls), *_one_body_an_etag(calls), *_true_refusals(calls)]


def _readable(calls: Sequence[Call]) -> Iterator[Violation]:
    """Each answer can be read."""
    for call in calls:
        if call.code.endswith(UNREADABLE):
            yield Violation("reads exact", "An answer is not one of its kind.", (call,))


def _true_refusals(calls: Sequence[Call]) -> Iterator[Violation]:
    """No call is refused for its permissions or as not found, because its token may see and do everything."""
    for call in calls:
        status, _, reason = call.code.partition(" ")
        if call.outcome == "refused" and (status in UNTRUE or reason.endswith("_NOT_FOUND")):
            yield Violation(
                "true refusals", "A call was told that it may not do this, or that it is not there.", (call,)
            )


def _one_body_an_etag(calls: Sequence[Call]) -> Iterator[Violation]:
    """The same ETag at the same URL always has the same answer, and a 304 has the requested ETag."""
    first: dict[tuple[str, ...], Call] = {}
    for call in calls:
        etag = call.got.get("etag")
        if not call.is_answered or etag is None:
            continue
        if call.is_unmodified:
            if etag != call.sent["if_none_match"]:
                yield Violation("etags", "A 304 names another ETag than was asked.", (call,))
            continue
        known = first.setdefault((call.face, call.kind, call.target, etag), call)
        if known.got["body"] != call.got["body"]:
            yield Violation("etags", "Two different answers have the same ETag.", (known, call))

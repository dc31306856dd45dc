"""The checker of recorded histories finds each violation with the calls involved, and none in a correct history."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flowpin_cli.verify.load.app_checks import AGAIN_SECONDS, IMPORT_SECONDS, FaultMade
from flowpin_cli.verify.load.calls import Call
from flowpin_cli.verify.load.documents import answer_of
from flowpin_cli.verify.load.history import CHECKS, check
from flowpin_cli.verify.load.kept import Kept, KeptDeployment, KeptVersion
from flowpin_cli.verify.load.operations import Violation

VERSION_ETAG = '"{id}.1{current}"'


@dataclass
class History:
    """A history under construction: calls by name, and the stored state of one workflow `w` and one app `a`."""

    calls: dict[str, Call]
    versions: list[KeptVersion]
    deployments: list[KeptDeployment]
    faults: list[FaultMade] = field(default_factory=list)

    def change(self, name: str, **fields: Any) -> None:
        self.calls[name] = replace(self.calls[name], **fields)

    def answer(self, name: str, **got: Any) -> None:
        self.change(name, got={**self.calls[name].got, **got})

    def check(self) -> list[Violation]:
        return check(list(self.calls.values()), Kept({"w": self.versions}, {"a": self.deployments}), self.faults)

    def pieces(self, check: str) -> list[set[str]]:
        """The names of calls and ids of rows in the violations of this check."""
        names = {id(call): name for name, call in self.calls.items()}
        return [
            {names[id(piece)] if isinstance(piece, Call) else piece.id for piece in violation.piece}
            for violation in self.check()
            if violation.check == check
        ]


def call(kind: str, operation: str, begin: float, end: float, **fields: Any) -> Call:
    target = "a" if kind in ("deploy", "rollback", "app", "deployments", "call") else "w"
    defaults = {"caller": "c", "face": "rest", "outcome": "answered", "code": "200"}
    return Call(**{**defaults, **fields}, kind=kind, operation=operation, target=target, begin=begin, end=end)


def save(number: int, begin: float, end: float, base: str | None = None, **fields: Any) -> Call:
    sent = {"digest": f"bytes-{number}", "base": base}
    got = {"id": f"v{number}", "number": number, "digest": f"bytes-{number}", "current": True}
    return call("save", f"save-{number}", begin, end, **{"sent": sent, "got": got, **fields})


def read(number: int, begin: float, end: float, *, as_latest: bool = True) -> Call:
    got = {"id": f"v{number}", "number": number, "digest": f"bytes-{number}", "current": as_latest}
    etag = VERSION_ETAG.format(id=f"v{number}", current=".current" if as_latest else "")
    sent = {"version": "latest" if as_latest else str(number)}
    return call("version", "read", begin, end, sent=sent, got={**got, "etag": etag, "body": f"{number} {as_latest}"})


def unmodified(number: int, begin: float, end: float) -> Call:
    etag = VERSION_ETAG.format(id=f"v{number}", current=".current")
    sent = {"version": "latest", "if_none_match": etag}
    return call("version", "read", begin, end, code="304", sent=sent, got={"unmodified": True, "etag": etag})


def deploy(number: int, begin: float, end: float, **fields: Any) -> Call:
    got = {"id": f"d{number}", "status": "succeeded", "live": True, "version_id": "v1"}
    sent = {"workflow_id": "w", "version_id": "v1"}
    return call("deploy", f"deploy-{number}", begin, end, **{"sent": sent, "got": got, **fields})


def live(number: int, begin: float, end: float) -> Call:
    return call("app", "read", begin, end, got={"live": f"d{number}", "etag": f'"{number}"', "body": str(number)})


def answered(number: int, begin: float, end: float) -> Call:
    """A call of the app: all of its deployments pin v1, which answers with 7."""
    got = {"deployment": f"d{number}", "version": "v1", "answer": answer_of(5, 7)}
    return call("call", f"call-{begin}", begin, end, face="apps", sent={"call": 5}, got=got)


def deployment(number: int, *, last: bool = False, **fields: Any) -> KeptDeployment:
    row = KeptDeployment(
        id=f"d{number}",
        kind="deploy",
        status="succeeded",
        version_id="v1",
        reason=f"deploy-{number}" if number else None,
        live=last,
        live_from=f"t{number}",
        live_to=None if last else f"t{number + 1}",
    )
    return replace(row, **fields)


@pytest.fixture
def history() -> History:
    """Saves 1 to 4, the third from base v2; a conflict on that base; reads between them; three deploys."""
    conflict = save(9, 4.1, 4.9, "v2", outcome="refused", code="409 VERSION_CONFLICT", got={})
    return History(
        {
            "save 1": save(1, 0, 1, sent={"digest": "bytes-1", "base": None, "answers": 7}),
            "read 1": read(1, 1.1, 1.2),
            "read 1 unmodified": unmodified(1, 1.3, 1.4),
            "save 2": save(2, 2, 3),
            "read 2": read(2, 3.1, 3.2),
            "save 3": save(3, 4, 5, "v2", key="key"),
            "save 3 again": save(3, 6, 7, "v2", key="key"),
            "conflict": conflict,
            "read 1 by number": read(1, 7, 7.1, as_latest=False),
            "list": call("versions", "list", 7.2, 7.3, got={"ids": ["v3", "v2"], "numbers": [3, 2], "current": [3]}),
            "save 4": save(4, 8, 9, outcome="unknown", got={}, code="TimeoutError"),
            "read 4": read(4, 10, 11),
            "deploy 1": deploy(1, 1, 2),
            "live 1": live(1, 2.1, 2.2),
            "deploy 2": deploy(2, 3, 4),
            "live 2": live(2, 5, 6),
            "call 0": answered(0, 0.5, 1.5),
            "call 1": answered(1, 2.5, 3.4),
            "call 2": answered(2, 3.5, 4.2),
            "call 2 again": answered(2, 4.3, 4.4),
        },
        [KeptVersion(f"v{number}", number, f"bytes-{number}") for number in (1, 2, 3, 4)],
        [deployment(0), deployment(1), deployment(2, last=True)],
    )


def test_a_correct_history_has_no_violation(history: History):
    assert history.check() == []


def test_a_save_without_an_answer_may_be_missing_from_the_history(history: History):
    history.versions.pop()
    del history.calls["read 4"]

    assert history.check() == []


def lost_save(history: History) -> None:
    history.versions.pop(2)


def other_bytes(history: History) -> None:
    history.versions[1] = replace(history.versions[1], digest="others")


def other_number(history: History) -> None:
    history.answer("save 1", number=7)


def doubled_save(history: History) -> None:
    history.versions.append(KeptVersion("v5", 5, "bytes-4"))


def refused_save_kept(history: History) -> None:
    history.versions.append(KeptVersion("v5", 5, "bytes-9"))


def unsent_save_kept(history: History) -> None:
    history.versions.append(KeptVersion("v5", 5, "whose"))


def gap(history: History) -> None:
    history.versions[3] = replace(history.versions[3], number=5)


def same_number_twice(history: History) -> None:
    history.answer("save 2", number=1)


def key_with_two_answers(history: History) -> None:
    history.answer("save 3 again", id="v4")


def later_save_with_smaller_number(history: History) -> None:
    history.change("save 1", begin=3.5, end=3.6)
    for name in ("read 1", "read 1 unmodified", "live 1", "deploy 1", "read 2"):
        history.calls.pop(name)


def save_before_what_was_seen(history: History) -> None:
    history.calls["early"] = replace(read(2, 0.1, 0.2), kind="workflow")
    history.change("save 2", begin=0, end=3)
    history.change("save 1", begin=0.3)


def latest_went_back(history: History) -> None:
    history.calls["late"] = read(2, 12, 13)


def latest_behind_an_answered_save(history: History) -> None:
    history.change("read 2", begin=5.5, end=5.6)


def latest_before_it_was_sent(history: History) -> None:
    history.change("read 4", begin=7.4, end=7.5)


def two_winners(history: History) -> None:
    history.change("save 3", sent={"digest": "bytes-3", "base": "v1"})


def conflict_without_another(history: History) -> None:
    history.change("conflict", begin=3.1, end=3.3)


def read_of_other_bytes(history: History) -> None:
    history.answer("read 1 by number", digest="others")


def answer_of_another_kind(history: History) -> None:
    history.change("read 2", outcome="unknown", code="200 UNREADABLE", got={"body": "2"})


def read_of_another_version(history: History) -> None:
    history.change("read 1 by number", sent={"version": "2"})


def answered_version_not_found(history: History) -> None:
    history.change("read 1 by number", outcome="refused", code="404 VERSION_NOT_FOUND", got={})


def list_with_a_gap(history: History) -> None:
    history.answer("list", numbers=[3, 1])


def list_that_marks_none_as_the_latest(history: History) -> None:
    history.answer("list", current=[])


def token_that_is_not_known(history: History) -> None:
    history.change("read 2", outcome="refused", code="401 TOKEN_INVALID", got={})


def workflow_that_is_not_found(history: History) -> None:
    history.change("deploy 2", outcome="refused", code="INVALID_ARGUMENT WORKFLOW_NOT_FOUND", got={})


def stale_304(history: History) -> None:
    history.change("read 1 unmodified", begin=3.3, end=3.4)


def two_bodies(history: History) -> None:
    history.calls["other"] = replace(history.calls["read 2"], got={**history.calls["read 2"].got, "body": "other"})


def wrong_304(history: History) -> None:
    history.change("read 1 unmodified", sent={"version": "latest", "if_none_match": '"other"'})


def replaced_before_the_next_was_sent(history: History) -> None:
    history.change("read 1 by number", begin=1.5, end=1.6)


def lost_deploy(history: History) -> None:
    history.deployments[:] = [deployment(0), deployment(1, last=True)]


def deploy_of_another_version(history: History) -> None:
    history.deployments[1] = replace(history.deployments[1], version_id="v2")


def rollback_to_another_version(history: History) -> None:
    history.deployments.append(deployment(3, reason="deploy-2", version_id="v2", source_id="d1"))


def doubled_deploy(history: History) -> None:
    history.deployments.insert(2, deployment(5, reason="deploy-1", live_from=None))


def refused_deploy_kept(history: History) -> None:
    history.change("deploy 1", outcome="refused", code="409 LIVE_MOVED", got={})


def unsent_deploy_kept(history: History) -> None:
    history.deployments.insert(1, deployment(5, live_from=None))


def key_with_two_deployments(history: History) -> None:
    history.calls["deploy 1 again"] = deploy(1, 1.5, 1.8, got={**history.calls["deploy 1"].got, "id": "d2"})


def later_deploy_earlier_in_the_history(history: History) -> None:
    history.change("deploy 1", begin=4.5, end=4.6)
    history.calls.pop("live 1")


def spans_overlap(history: History) -> None:
    history.deployments[1] = replace(history.deployments[1], live_to="t9")


def two_are_live(history: History) -> None:
    history.deployments[1] = replace(history.deployments[1], live=True)


def live_went_back(history: History) -> None:
    history.calls["late"] = live(1, 7, 8)


def live_before_it_was_sent(history: History) -> None:
    history.change("live 2", begin=2.3, end=2.4)


def stale_304_of_an_app(history: History) -> None:
    got = {"unmodified": True, "etag": '"1"'}
    history.calls["late"] = call("app", "read", 7, 8, code="304", sent={"if_none_match": '"1"'}, got=got)


def call_of_no_deployment(history: History) -> None:
    history.answer("call 1", deployment="d7")


def call_of_another_version(history: History) -> None:
    history.answer("call 1", version="v2")


def answer_to_another_caller(history: History) -> None:
    history.answer("call 1", answer=answer_of(6, 7))


def answer_of_another_version(history: History) -> None:
    history.answer("call 1", answer=answer_of(5, 8))


def call_after_the_deploys_answer(history: History) -> None:
    history.calls.pop("call 2")
    history.calls["call 2 again"] = answered(1, 4.3, 4.4)


def calls_went_back(history: History) -> None:
    history.calls["call 2 again"] = answered(1, 4.25, 4.4)
    history.change("deploy 2", outcome="unknown", got={}, code="TimeoutError")


def call_before_it_was_live(history: History) -> None:
    history.calls["call 2"] = answered(2, 3.05, 3.1)
    history.calls["live"] = live(1, 3.2, 3.3)


def call_of_what_never_was_live(history: History) -> None:
    history.deployments.insert(2, deployment(5, reason="deploy-5", live_from=None, live_to=None))
    history.calls["deploy 5"] = deploy(5, 2.1, 2.2, outcome="unknown", got={}, code="TimeoutError")
    history.calls["call 1"] = answered(5, 2.5, 3.4)


def call_before_the_deploy_was_sent(history: History) -> None:
    history.calls["call 2"] = answered(2, 2.7, 2.8)


def nobody_was_answered(history: History) -> None:
    history.calls["call 2 again"] = answered(2, 6.3, 6.4)


BROKEN: dict[str, list[tuple[Callable[[History], None], set[str]]]] = {
    "saves kept": [
        (lost_save, {"save 3"}),
        (other_bytes, {"save 2", "v2"}),
        (other_number, {"save 1", "v1"}),
    ],
    "saves once": [
        (doubled_save, {"save 4", "v4", "v5"}),
        (refused_save_kept, {"conflict", "v5"}),
        (unsent_save_kept, {"v5"}),
        (gap, {"v3", "v4"}),
        (same_number_twice, {"save 1", "save 2"}),
    ],
    "save order": [
        (later_save_with_smaller_number, {"save 2", "save 1"}),
        (save_before_what_was_seen, {"early", "save 1"}),
    ],
    "latest forward": [
        (latest_went_back, {"read 4", "late"}),
        (latest_behind_an_answered_save, {"save 3", "read 2"}),
        (latest_before_it_was_sent, {"read 4", "save 4"}),
    ],
    "one winner a base": [
        (two_winners, {"v1", "save 2", "save 3"}),
        (conflict_without_another, {"v2", "save 3", "conflict"}),
    ],
    "reads exact": [
        (read_of_other_bytes, {"read 1 by number", "v1"}),
        (answer_of_another_kind, {"read 2"}),
        (read_of_another_version, {"read 1 by number"}),
        (answered_version_not_found, {"save 1", "read 1 by number"}),
        (list_with_a_gap, {"list"}),
        (list_that_marks_none_as_the_latest, {"list"}),
    ],
    "deploys kept": [
        (lost_deploy, {"deploy 2"}),
        (deploy_of_another_version, {"deploy 1", "d1"}),
        (rollback_to_another_version, {"d1", "d3"}),
    ],
    "deploys once": [
        (doubled_deploy, {"deploy 1", "d1", "d5"}),
        (refused_deploy_kept, {"deploy 1", "d1"}),
        (unsent_deploy_kept, {"d5"}),
    ],
    "deploy order": [(later_deploy_earlier_in_the_history, {"deploy 2", "deploy 1"})],
    "live spans": [(spans_overlap, {"d1", "d2"}), (two_are_live, {"d1", "d2"})],
    "live forward": [(live_went_back, {"deploy 2", "late"}), (live_before_it_was_sent, {"live 2", "deploy 2"})],
    "keys once": [
        (key_with_two_answers, {"save 3", "save 3 again"}),
        (key_with_two_deployments, {"deploy 1", "deploy 1 again"}),
    ],
    "etags": [
        (stale_304, {"save 2", "read 1 unmodified"}),
        (two_bodies, {"read 2", "other"}),
        (wrong_304, {"read 1 unmodified"}),
        (replaced_before_the_next_was_sent, {"read 1 by number", "save 2"}),
        (stale_304_of_an_app, {"deploy 2", "late"}),
    ],
    "calls exact": [
        (call_of_no_deployment, {"call 1"}),
        (call_of_another_version, {"call 1", "d1"}),
        (answer_to_another_caller, {"call 1", "d1"}),
        (answer_of_another_version, {"call 1", "d1"}),
    ],
    "calls routed": [
        (call_after_the_deploys_answer, {"deploy 2", "call 2 again"}),
        (calls_went_back, {"call 2", "call 2 again"}),
        (call_before_it_was_live, {"call 2", "live"}),
        (call_of_what_never_was_live, {"call 1", "d5"}),
        (call_before_the_deploy_was_sent, {"call 2", "deploy 2"}),
    ],
    "calls answered": [(nobody_was_answered, {"call 2", "call 2 again"})],
    "true refusals": [(token_that_is_not_known, {"read 2"}), (workflow_that_is_not_found, {"deploy 2"})],
}


def test_calls_after_a_deploy_that_names_a_late_router_are_not_checked(history: History):
    call_after_the_deploys_answer(history)
    history.answer("deploy 2", notes=["The router r had not taken the deployment up."])

    assert history.pieces("calls routed") == []


def test_calls_may_wait_longer_after_a_fault_that_ended_a_process(history: History):
    history.calls["call 2 again"] = answered(2, 4.3, 4.2 + AGAIN_SECONDS + IMPORT_SECONDS)

    assert history.pieces("calls answered") == [{"call 2", "call 2 again"}]
    history.faults.append(FaultMade("kill", "host", 4.25, 4.26))
    assert history.pieces("calls answered") == []


def test_every_check_of_verify_under_load_has_a_history_that_violates_it():
    assert set(BROKEN) == set(CHECKS)


@pytest.mark.parametrize(
    ("name", "break_it", "piece"),
    [pytest.param(name, *each, id=each[0].__name__) for name, broken in BROKEN.items() for each in broken],
)
def test_a_violation_in_a_history_is_found_with_the_calls_involved(
    history: History, name: str, break_it: Callable[[History], None], piece: set[str]
):
    break_it(history)

    assert piece in history.pieces(name), history.check()

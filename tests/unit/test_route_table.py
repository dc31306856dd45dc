"""The route table replaces all routes with a snapshot, and single ones with changes."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from run_service.errors import AppNotServed, KeyInvalid, KeyMissing, KeyOfOtherProject, NotAnAccessKey, RoutesUnknown
from run_service.router.access import find_route, find_target
from run_service.router.names import AppName
from run_service.supply.route_table import RouteTable
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb

PROJECT, APP, OTHER = new_id(), new_id(), new_id()
SECRET = "dynamiq_acc_secret"


def route(app_id: UUID = APP, revision: int = 1, **fields: object) -> pb.Route:
    pin = pb.Pin(deployment_id=str(new_id()), version_id=str(new_id()), version_number=3, loadable_digest="00")
    live = pb.EnvironmentRoute(environment="production", is_default=True, live=pin)
    empty = pb.EnvironmentRoute(environment="Staging")
    given = {"project_id": str(PROJECT), "access_type": pb.ACCESS_TYPE_PRIVATE, "environments": [empty, live], **fields}
    return pb.Route(app_id=str(app_id), revision=revision, **given)


def keys(*secrets: str, project_id: UUID = PROJECT, seconds: float | None = None) -> pb.ProjectKeys:
    expires_at = None
    if seconds is not None:
        expires_at = Timestamp()
        expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return pb.ProjectKeys(
        project_id=str(project_id),
        keys=[
            pb.AccessKey(id=str(new_id()), key_hash=hashlib.sha256(each.encode()).digest(), expires_at=expires_at)
            for each in secrets
        ],
    )


def message(*routes: pb.Route, keys: tuple[pb.ProjectKeys, ...] = ()) -> pb.WatchRoutesResponse:
    return pb.WatchRoutesResponse(routes=routes, keys=keys)


@pytest.fixture
def table() -> RouteTable:
    table = RouteTable()
    table.replace([message(route()), message(keys=(keys(SECRET),))])
    return table


def test_without_a_snapshot_a_call_fails_with_routes_unknown():
    table = RouteTable()

    with pytest.raises(RoutesUnknown):
        find_route(table, AppName(APP, None))


def test_a_changed_route_replaces_the_apps_old_route(table: RouteTable):
    changed = table.change([message(route(revision=2, archived=True), route(OTHER))])

    assert [(each.app_id, each.revision) for each in changed] == [(APP, 2), (OTHER, 1)]
    assert table.route(APP).is_archived
    assert table.project_of(OTHER) == PROJECT


def test_the_route_of_a_deleted_app_is_removed_without_an_acknowledgement(table: RouteTable):
    assert table.change([message(pb.Route(app_id=str(APP), project_id=str(PROJECT), deleted=True))]) == []
    assert table.route(APP) is None


def test_routes_and_keys_that_a_snapshot_lacks_are_removed(table: RouteTable):
    table.replace([message(route(OTHER))])

    assert table.route(APP) is None
    assert table.key(hashlib.sha256(SECRET.encode()).digest()) is None


def test_all_access_keys_of_a_project_are_replaced_together(table: RouteTable):
    table.change([message(keys=(keys("new"),)), message(keys=(keys("theirs", project_id=new_id()),))])

    found = [table.key(hashlib.sha256(each.encode()).digest()) is not None for each in (SECRET, "new", "theirs")]
    assert found == [False, True, True]


@pytest.mark.parametrize(
    ("authorization", "error"),
    [
        (None, KeyMissing),
        ("", KeyMissing),
        ("Bearer", KeyMissing),
        ("Bearer  ", KeyMissing),
        (f"Basic {SECRET}", KeyMissing),
        (f"Bearer {SECRET}x", KeyInvalid),
        ("Bearer \udce9", KeyInvalid),
        ("Bearer expired", KeyInvalid),
        ("Bearer theirs", KeyOfOtherProject),
        ("Bearer dyn_pat_x", NotAnAccessKey),
    ],
)
def test_a_private_app_accepts_only_valid_keys_of_its_project(
    table: RouteTable, authorization: str | None, error: type
):
    table.change(
        [message(keys=(keys("theirs", project_id=new_id()), keys("expired", project_id=new_id(), seconds=-1)))]
    )

    with pytest.raises(error):
        find_target(table, table.route(APP), None, authorization)


def test_the_bearer_scheme_is_case_insensitive_and_an_unexpired_key_is_valid(table: RouteTable):
    table.change([message(keys=(keys("later", seconds=60),))])

    target = find_target(table, table.route(APP), "PRODUCTION", "bEARER  later ")

    assert (target.environment, target.pin.version_number) == ("production", 3)
    assert target.principal == target.key.id


def test_a_public_app_accepts_any_credentials_and_its_callers_are_one_principal(table: RouteTable):
    table.change([message(route(access_type=pb.ACCESS_TYPE_PUBLIC))])

    targets = [find_target(table, table.route(APP), None, each) for each in (None, "Bearer dyn_pat_x")]

    assert [target.principal for target in targets] == [APP, APP]


@pytest.mark.parametrize(
    ("environment", "words"), [("staging", "Nothing is live in the app's environment Staging"), ("x", "no such")]
)
def test_an_environment_without_a_live_deployment_is_not_served(table: RouteTable, environment: str, words: str):
    with pytest.raises(AppNotServed, match=words):
        find_target(table, table.route(APP), environment, f"Bearer {SECRET}")


def test_only_callers_with_a_key_learn_that_an_app_is_archived(table: RouteTable):
    table.change([message(route(archived=True))])

    with pytest.raises(AppNotServed):
        find_target(table, table.route(APP), None, f"Bearer {SECRET}")
    with pytest.raises(KeyMissing):
        find_target(table, table.route(APP), None, None)

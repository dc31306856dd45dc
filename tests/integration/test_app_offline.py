"""A run service that starts while all other services are down serves live deployments from an encrypted copy."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from service_kit.ids import new_id
from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import KEY, Apps, running_apps
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

KEYS = "5a" * 32
CANARY = "canary-7f3a9d"
OTHER_KEY = "dynamiq_acc_" + "o" * 64


def offline(folder: Path, keys: str = KEYS) -> dict[str, Any]:
    return {"offline_folder": folder / "offline", "offline_keys": SecretStr(keys)}


def files(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in (folder / "offline").iterdir())
    except FileNotFoundError:
        return []


def contents(folder: Path) -> set[bytes]:
    return {(folder / "offline" / name).read_bytes() for name in files(folder)}


def is_kept(apps: Apps, count: int = 3):
    """Whether the copy has `count` files and health reports nothing as missing."""

    async def holds() -> bool:
        return len(files(apps.folder)) == count and (await apps.health()).body["offline_copy"] == "serving"

    return holds


@asynccontextmanager
async def started_alone(apps: Apps, *, url: str | None = None, **settings: Any) -> AsyncIterator[None]:
    """The run service, started again without a deploy service and without Postgres."""
    await apps.running_routing.aclose()
    urls = {**apps.urls, "flowpin_run": "postgresql://nobody@127.0.0.1:1/none"}
    apps.urls = urls
    async with apps.run_service(**settings):
        yield


@pytest.fixture
async def kept(database_urls, tmp_path) -> AsyncIterator[Apps]:
    """A stopped run service that has served the flow `one` with a secret and deployed `never`, which had no calls."""
    async with left(database_urls, tmp_path) as apps:
        yield apps


@asynccontextmanager
async def left(database_urls, folder: Path, **settings: Any) -> AsyncIterator[Apps]:
    """Run the steps of `kept`. `apps.app` is the app with the flow `one`."""
    given = {"SECRET": CANARY}
    async with running_apps(database_urls, folder, variables=given, **offline(folder), **settings) as apps:
        never = apps.routing.app(apps.people.project)
        never.live["production"] = apps.routing.pin(never, flow("never", secret=CANARY))
        apps.routing.keys[apps.people.project][OTHER_KEY] = {"id": new_id()}
        await apps.routing.send(never)
        await apps.routing.send_keys(apps.people.project)
        await eventually(is_kept(apps, 5))
        await apps.call()
        apps.other = never
        await apps.running_service.aclose()
        yield apps


async def test_live_apps_answer_while_all_other_services_are_down(kept: Apps, tmp_path):
    async with started_alone(kept, **offline(tmp_path)):
        refused = await kept.call()
        await eventually(kept.is_ready)
        answers = [await kept.call(), await kept.call(app=kept.other)]
        health = await kept.health()

    assert (refused.status, refused.error["details"]["reason"]) == (503, "ROUTES_UNKNOWN")
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.body["output"]["flow"] for answer in answers] == ["one", "never"]
    assert answers[0].headers["X-Flowpin-Version"] == "v1"
    assert answers[0].headers["X-Flowpin-Deployment"] == kept.live.deployment_id
    assert [replica.variables for replica in kept.host.of_flow("never")] == [{"SECRET": CANARY}]
    assert "routes from disk are used, written at 20" in health.body["routes"]


async def test_the_offline_copy_is_encrypted_and_readable_by_its_owner_only(kept: Apps, tmp_path):
    found = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_socket()]

    assert len([path for path in found if path.parent.name == "offline"]) == 5
    assert [path for path in found if CANARY.encode() in path.read_bytes()] == []
    folder = tmp_path / "offline"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    routes = (folder / "routes").read_bytes()
    assert str(kept.app.app_id).encode() not in routes


async def test_revoked_and_expired_keys_stay_refused_offline(database_urls, tmp_path):
    async with left(database_urls, tmp_path) as apps:
        keys = apps.routing.keys[apps.people.project]
        soon = Timestamp()
        soon.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
        written = (tmp_path / "offline" / "routes").stat().st_ino

        async def is_written() -> bool:
            return (tmp_path / "offline" / "routes").stat().st_ino != written

        async with apps.run_service(**offline(tmp_path)):
            await eventually(is_written)
            written = (tmp_path / "offline" / "routes").stat().st_ino
            del keys[KEY]
            keys[OTHER_KEY]["expires_at"] = soon
            await apps.routing.send_keys(apps.people.project)
            await eventually(is_written)

        async with started_alone(apps, **offline(tmp_path)):
            await eventually(apps.is_ready)
            await asyncio.sleep(max(0.0, soon.ToDatetime(tzinfo=UTC).timestamp() - datetime.now(UTC).timestamp()))
            statuses = [(await apps.call(key=key)).status for key in (KEY, OTHER_KEY)]

    assert statuses == [401, 401]


async def test_files_that_no_live_deployment_needs_are_removed_and_foreign_files_stay(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, **offline(tmp_path)) as apps:
        await eventually(is_kept(apps))
        (tmp_path / "offline" / "mine").write_text("a foreign file")
        (tmp_path / "offline" / ".routes.0123456789abcdef").write_text("left half written")
        before = files(tmp_path)

        await apps.routing.deploy(apps.app, flow("two"))
        await eventually(lambda: _differ(before, tmp_path))
        await eventually(is_kept(apps, 4))
        after = files(tmp_path)

    assert "mine" in after
    assert ".routes.0123456789abcdef" not in after
    assert [name for name in before if name.startswith("loadable")] != [n for n in after if n.startswith("loadable")]


async def _differ(before: list[str], folder: Path) -> bool:
    return files(folder) != before


async def test_the_offline_copy_has_changed_variables(database_urls, tmp_path):
    async with left(database_urls, tmp_path) as apps:
        async with apps.run_service(**offline(tmp_path)):
            await eventually(apps.is_ready)
            apps.routing.variables = {"SECRET": "changed"}
            apps.app.live["production"].variables_revision = 7
            await apps.routing.send(apps.app)

            async def is_written() -> bool:
                return any(name.endswith("-7") for name in files(tmp_path)) and len(files(tmp_path)) == 5

            await eventually(is_written)
        for replica in list(apps.host.replicas.values()):
            await apps.host.end(replica, "STOPPED", "Everything is down.")

        async with started_alone(apps, **offline(tmp_path)):
            await eventually(apps.is_ready)
            answer = await apps.call()

    assert answer.status == 200
    assert [replica.variables for replica in apps.host.of_flow("one")] == [{"SECRET": "changed"}]


async def test_the_last_variables_stay_in_the_offline_copy_when_newer_ones_cannot_be_read(kept: Apps, tmp_path):
    kept.routing.is_refusing_variables = True
    kept.app.live["production"].variables_revision = 7
    async with kept.run_service(**offline(tmp_path)):
        await eventually(kept.is_ready)

        async def is_missing() -> bool:
            return "not kept" in (await kept.health()).body["offline_copy"]

        await eventually(is_missing)
    for replica in list(kept.host.replicas.values()):
        await kept.host.end(replica, "STOPPED", "Everything is down.")

    async with started_alone(kept, **offline(tmp_path)):
        await eventually(kept.is_ready)
        answer = await kept.call()

    assert answer.status == 200
    assert [replica.variables for replica in kept.host.of_flow("one")] == [{"SECRET": CANARY}]


def changed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


async def test_a_damaged_routes_file_is_ignored_and_health_reports_it(kept: Apps, tmp_path, capsys):
    changed(tmp_path / "offline" / "routes")

    async with started_alone(kept, **offline(tmp_path)):

        async def is_noted() -> bool:
            return "the file routes cannot be used" in (await kept.health()).body["offline_copy"]

        await eventually(is_noted)
        answer, health = await kept.call(), await kept.health()

    assert (answer.status, health.status) == (503, 503)
    assert "".join(capsys.readouterr()).count("offline_file_unusable") == 1


async def test_files_encrypted_with_another_key_are_ignored_and_written_again(kept: Apps, tmp_path):
    before = contents(tmp_path)

    async def are_written() -> bool:
        return len(files(tmp_path)) == 5 and before.isdisjoint(contents(tmp_path))

    async with kept.run_service(**offline(tmp_path, "6b" * 32)):
        await eventually(kept.is_ready)
        await eventually(are_written)

    async with started_alone(kept, **offline(tmp_path, "6b" * 32)):
        await eventually(kept.is_ready)


async def test_a_damaged_document_of_the_offline_copy_is_fetched_again(kept: Apps, tmp_path):
    [*_, document] = [tmp_path / "offline" / name for name in files(tmp_path) if name.startswith("loadable")]
    before = document.read_bytes()
    changed(document)

    async with kept.run_service(**offline(tmp_path)):
        await eventually(kept.is_ready)
        for app in (kept.app, kept.other):
            for replica in kept.host.of_flow("one") + kept.host.of_flow("never"):
                await kept.host.end(replica, "STOPPED", "It is started again.")
            assert (await kept.call(app=app)).status == 200

        async def is_mended() -> bool:
            return len(document.read_bytes()) == len(before) and await is_kept(kept, 5)()

        await kept.routing.send(kept.app)
        await eventually(is_mended)


async def test_the_deploy_services_own_routes_take_over_when_it_is_back(kept: Apps, tmp_path):
    async with started_alone(kept, **offline(tmp_path)):
        await eventually(kept.is_ready)
        before = await kept.call()
        kept.app.live["production"] = kept.routing.pin(kept.app, flow("two"))
        await kept.start_routing()

        async def is_current() -> bool:
            return (await kept.health()).body["routes"] == "serving"

        await eventually(is_current)
        after = await kept.call()

    assert (before.body["output"]["flow"], after.body["output"]["flow"]) == ("one", "two")


async def test_offline_routes_are_not_served_while_the_deploy_service_answers(kept: Apps, tmp_path, capsys):
    kept.app.live["production"] = kept.routing.pin(kept.app, flow("two"))
    kept.routing.snapshot_seconds = 0.5

    async with kept.run_service(**offline(tmp_path)):
        statuses = set()
        while (answer := await kept.call()).status != 200:
            statuses.add(answer.status)

    assert statuses <= {503}
    assert answer.body["output"]["flow"] == "two"
    assert "stored_routes_used" not in "".join(capsys.readouterr())


async def test_a_rollout_in_progress_is_not_reported_as_failed_after_an_offline_start(kept: Apps, tmp_path):
    pin = kept.routing.pin(kept.app, flow("two"))
    kept.app.rolling_out["production"] = [pin]
    kept.host.starts.clear()
    async with kept.run_service(**offline(tmp_path)):
        await eventually(kept.is_ready)
        await kept.routing.reported(pin)
        await eventually(is_kept(kept, 5))
    kept.routing.reports.clear()

    async with started_alone(kept, wake_seconds=0.1, **offline(tmp_path)):
        await eventually(kept.is_ready)
        await asyncio.sleep(0.5)
        await kept.start_routing()
        report = await kept.routing.reported(pin)

    assert report.WhichOneof("outcome") == "up"


async def test_a_flow_too_large_for_the_offline_copy_is_not_kept_and_health_reports_it(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path, offline_bytes=1 << 20, **offline(tmp_path)) as apps:
        await eventually(is_kept(apps))
        await apps.routing.deploy(apps.app, flow("large", padding="x" * (1 << 20)))

        async def is_noted() -> bool:
            return "there is no room" in (await apps.health()).body["offline_copy"]

        await eventually(is_noted)
        await apps.routing.deploy(apps.app, flow("two"))
        await eventually(is_kept(apps))


async def test_a_call_is_answered_though_the_offline_folder_cannot_be_written(database_urls, tmp_path):
    (tmp_path / "offline").write_text("no folder")
    async with running_apps(database_urls, tmp_path, **offline(tmp_path)) as apps:

        async def is_noted() -> bool:
            return "cannot be written" in (await apps.health()).body["offline_copy"]

        await eventually(is_noted)
        assert (await apps.call()).status == 200

"""With three replicas of each service, killing one and draining another loses no read and no keyed write."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from tests.support.databases import fresh_database
from tests.support.replicas import Load, Replicas, running_replicas
from tests.support.stack import People

pytestmark = pytest.mark.load
WARM_UP, AFTER_KILL, RECONNECT, AFTER_RESTART, AFTER_DRAIN = 1.5, 2.0, 1.5, 1.5, 1.5
"""Seconds of each phase."""


@dataclass
class Story:
    """What happened under load while replicas were killed and drained."""

    load: Load
    spread: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Calls that each replica answered, by phase and service."""
    hot: Counter[str] = field(default_factory=Counter)
    """The gRPC codes of calls in a tight loop while a replica was drained."""
    exit_codes: list[int] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    """Oldest first, as are the deployments."""
    deployments: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
async def story(database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp("replicas")
    people = People(folder / "access.yaml")
    people.write()
    async with (
        fresh_database(database_urls) as urls,
        running_replicas(3, urls, people, folder) as replicas,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        load = Load(replicas.url, people, session)
        await load.prepare()
        story = Story(load)
        async with load.working():
            await go_through(story, replicas)
        story.versions = await load.every(f"/v1/workflows/{load.workflow['id']}/versions?sort=version&")
        story.deployments = await load.every(f"/v1/apps/{load.app['id']}/deployments?sort=started_at&")
        yield story


async def go_through(story: Story, replicas: Replicas) -> None:
    async def phase(name: str, seconds: float) -> None:
        story.load.phase = name
        before = replicas.calls()
        await asyncio.sleep(seconds)
        after = replicas.calls()
        story.spread[name] = {
            service: [now - then for now, then in zip(after[service], before[service], strict=True)]
            for service in after
        }

    await phase("whole", WARM_UP)
    story.load.phase = "killed"
    await asyncio.gather(replicas.workflow[0].kill(), replicas.deploy[0].kill())
    await phase("killed", AFTER_KILL)
    story.load.phase = "restarting"
    await asyncio.gather(replicas.workflow[0].start(), replicas.deploy[0].start())
    await asyncio.sleep(RECONNECT)
    await phase("restarted", AFTER_RESTART)
    story.load.phase = "draining"
    async with story.load.hot_loop(replicas.gateway.env["GATEWAY_WORKFLOW_TARGET"]) as story.hot:
        await asyncio.sleep(0.3)
        story.exit_codes = await asyncio.gather(replicas.workflow[1].drain(), replicas.deploy[1].drain())
    await phase("draining", AFTER_DRAIN)


def test_no_read_fails_while_replicas_are_killed_and_drained(story: Story):
    reads = [call for call in story.load.calls if call.what.startswith("GET")]

    assert len(reads) > 300
    assert story.load.failed("GET") == Counter()


def test_every_write_succeeds_when_it_is_retried_with_its_key_while_replicas_are_killed(story: Story):
    writes = [call for call in story.load.calls if call.what.startswith("POST")]

    assert len(writes) > 50
    assert story.load.failed("POST") == Counter()


def test_writes_fail_only_with_503_or_409_while_replicas_are_killed(story: Story):
    statuses = Counter(status for call in story.load.calls for status in call.statuses)

    assert set(statuses) <= {200, 201, 409, 503}


def test_every_save_answered_while_replicas_were_killed_is_stored_once_with_its_number(story: Story):
    kept = Counter(version["description"] for version in story.versions)
    numbers = {version["description"]: version["version"] for version in story.versions}

    assert max(kept.values()) == 1
    assert {save.key: save.data["version"] for save in story.load.saves} == numbers


def test_version_numbers_have_no_gap_and_no_duplicate_after_replicas_were_killed(story: Story):
    assert [version["version"] for version in story.versions] == list(range(1, len(story.versions) + 1))


def test_every_deploy_answered_while_replicas_were_killed_is_in_the_history_once(story: Story):
    reasons = Counter(row["reason"] for row in story.deployments[1:])

    assert reasons == Counter(deploy.key for deploy in story.load.deploys)
    assert {deploy.data["id"] for deploy in story.load.deploys} == {row["id"] for row in story.deployments[1:]}


def test_one_deployment_is_live_at_every_moment_while_replicas_are_killed(story: Story):
    spans = sorted((row["live_from"], row["live_to"]) for row in story.deployments if "live_to" in row)
    live = [row for row in story.deployments if row["live"]]

    assert {row["status"] for row in story.deployments} == {"succeeded"}
    assert len(live) == 1
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[-1][1] == live[0]["live_from"]


@pytest.mark.parametrize("service", ["workflow", "deploy"])
def test_calls_are_spread_over_all_three_replicas(story: Story, service: str):
    calls = story.spread["whole"][service]

    assert min(calls) > sum(calls) * 0.2, calls


@pytest.mark.parametrize("service", ["workflow", "deploy"])
def test_a_killed_replica_gets_calls_again_after_its_restart(story: Story, service: str):
    assert story.spread["killed"][service][0] == 0
    assert story.spread["restarted"][service][0] > sum(story.spread["restarted"][service]) * 0.2


def test_draining_a_replica_fails_no_call(story: Story):
    answers = story.load.first_answers("GET", "draining") + story.load.first_answers("POST", "draining")

    assert story.exit_codes == [0, 0]
    assert set(answers) <= {200, 201}, story.load.failed("", "draining")
    assert sum(answers.values()) > 100


def test_draining_a_replica_fails_no_call_of_a_tight_loop(story: Story):
    assert set(story.hot) == {"OK"}, story.hot
    assert story.hot["OK"] > 100

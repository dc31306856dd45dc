"""The costliest known documents take little time and memory in every operation."""

from collections.abc import AsyncIterator, Callable
from itertools import cycle
from typing import Any

import pytest

from service_kit.errors import ServiceError
from service_kit.settings import WorkerLimits
from service_kit.workers.pool import WorkerPool, open_workers
from tests.support.hostile_documents import CONFIGS, FLOWS, another
from workflow_service.diff import nodes_changed_by_both
from workflow_service.dynamiq_config.checks import problems_of
from workflow_service.dynamiq_config.exporting import export_flow
from workflow_service.dynamiq_config.importing import import_content
from workflow_service.flow import digests_of
from workflow_service.messages import compared
from workflow_service.settings import Settings

LIMIT = 16 << 20
SMALL_BYTES, SMALL = 200_000, WorkerLimits(processes=2, cpu_seconds=5, memory_bytes=200 << 20)
LARGE_BYTES, LARGE = (
    LIMIT - 1000,
    WorkerLimits(
        processes=2,
        cpu_seconds=Settings.model_fields["worker_cpu_seconds"].default,
        memory_bytes=Settings.model_fields["worker_memory_bytes"].default,
    ),
)

WORK: dict[str, Callable[[bytes], tuple[Any, ...]]] = {
    "check": lambda flow: (digests_of, flow, b"{}", LIMIT),
    "check a canvas": lambda flow: (digests_of, b'{"nodes":[{"id":"a","type":"x.Y"}]}', flow, LIMIT),
    "validate": lambda flow: (problems_of, flow, LIMIT),
    "export": lambda flow: (export_flow, flow, LIMIT),
    "compare": lambda flow: (compared, flow, another(flow), b"{}", b"{}"),
    "compare canvases": lambda flow: (compared, b'{"nodes":[]}', b'{"nodes":[]}', flow, another(flow)),
    "find a conflict": lambda flow: (nodes_changed_by_both, flow, another(flow), another(flow)),
}
"""What a call of each RPC has a worker do."""


@pytest.fixture(scope="module")
async def small() -> AsyncIterator[WorkerPool]:
    async with open_workers(SMALL) as pool:
        yield pool


@pytest.fixture
async def fresh() -> AsyncIterator[WorkerPool]:
    """As `small`, with workers that have no memory left over from other documents: their limit is that close."""
    async with open_workers(SMALL) as pool:
        yield pool


@pytest.fixture(scope="module")
async def large() -> AsyncIterator[WorkerPool]:
    async with open_workers(LARGE) as pool:
        yield pool


async def message_from(pool: WorkerPool, work: Callable[..., Any], *args: Any) -> str:
    """The message of the refusal, if there is one. Fails when the worker had to be stopped."""
    try:
        await pool.run("ada", work, *args)
    except ServiceError as error:
        message = error.message
    else:
        message = ""
    assert "CPU time" not in message
    return message


async def within_limits(pool: WorkerPool, kind: str, flow: bytes) -> None:
    work, *args = WORK[kind](flow)
    is_kept = work in (compared, nodes_changed_by_both)
    if not is_kept or not await message_from(pool, digests_of, flow, b"{}", LIMIT):
        await message_from(pool, work, *args)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WORK)
@pytest.mark.parametrize("name", FLOWS)
async def test_any_flow_of_200_kb_stays_within_small_limits(small: WorkerPool, name: str, kind: str):
    await within_limits(small, kind, FLOWS[name](SMALL_BYTES))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
async def test_any_config_of_200_kb_stays_within_small_limits(fresh: WorkerPool, name: str):
    await message_from(fresh, import_content, CONFIGS[name](SMALL_BYTES), None, LIMIT)


@pytest.mark.faults
@pytest.mark.parametrize(("name", "kind"), list(zip(FLOWS, cycle(WORK), strict=False)))
async def test_the_largest_flow_stays_within_the_limits_of_a_worker(large: WorkerPool, name: str, kind: str):
    await within_limits(large, kind, FLOWS[name](LARGE_BYTES))


@pytest.mark.faults
@pytest.mark.parametrize("name", CONFIGS)
async def test_the_largest_config_stays_within_the_limits_of_a_worker(large: WorkerPool, name: str):
    await message_from(large, import_content, CONFIGS[name](LARGE_BYTES), None, LIMIT)

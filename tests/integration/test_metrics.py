"""Metrics count calls by RPC and by route, connections of pools and cut-overs, and contain no input of callers."""

import re
import socket
from collections.abc import AsyncIterator

import pytest

from service_kit.metrics import exposed
from tests.support.ports import free_port
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.slow


CANARY = "canary-in-the-coal-mine"
HANDLED = "grpc_server_handled_total"


@pytest.fixture
async def scraped(unstarted: Stack) -> AsyncIterator[tuple[Stack, str]]:
    """A stack and the URL of its metrics. Its services share one process, so one port has all metrics."""
    address = f"127.0.0.1:{free_port()}"
    async with running_stack(unstarted, workflow={"metrics_listen": address}) as stack:
        yield stack, f"http://{address}/metrics"


async def scrape(stack: Stack, url: str) -> str:
    async with stack.session.get(url) as response:
        assert response.status == 200
        return await response.text()


def value(metrics: str, name: str, **labels: str) -> float:
    """The value of the series with these labels; 0 before it exists."""
    series = re.compile(rf"^{name}\{{(?P<labels>.*)\}} (?P<value>\S+)$", re.MULTILINE)
    wanted = {f'{key}="{text}"' for key, text in labels.items()}
    found = (match for match in series.finditer(metrics) if set(match["labels"].split(",")) == wanted)
    return sum(float(match["value"]) for match in found)


async def test_metrics_count_each_rpc_by_code_and_time_it(scraped):
    stack, url = scraped
    method = {"grpc_service": "flowpin.workflow.v1.WorkflowService", "grpc_method": "GetWorkflow"}
    before = await scrape(stack, url)

    workflow = await stack.draft()
    await stack.rest("GET", f"/v1/workflows/{workflow['id']}")
    await stack.rest("GET", f"/v1/workflows/{stack.people.project}")

    after = await scrape(stack, url)
    for code in ("OK", "NOT_FOUND"):
        counted = {**method, "grpc_code": code}
        assert value(after, HANDLED, **counted) - value(before, HANDLED, **counted) == 1
    timed = "grpc_server_handling_seconds_count"
    assert value(after, timed, **method) - value(before, timed, **method) == 2


async def test_metrics_count_each_request_by_route_and_status(scraped):
    stack, url = scraped
    name = "http_server_request_duration_seconds_count"
    found = {
        "http_request_method": "GET",
        "http_route": "/v1/workflows/{workflow_id}",
        "http_response_status_code": "404",
    }
    nowhere = {"http_request_method": "_OTHER", "http_route": "", "http_response_status_code": "404"}
    before = await scrape(stack, url)

    await stack.rest("GET", f"/v1/workflows/{stack.people.project}")
    await stack.rest("PROPFIND", f"/{CANARY}")

    after = await scrape(stack, url)
    assert value(after, name, **found) - value(before, name, **found) == 1
    assert value(after, name, **nowhere) - value(before, name, **nowhere) == 1


async def test_metrics_show_idle_and_used_connections_of_pools(scraped):
    stack, url = scraped
    pool = {"pool_name": stack.schemas["workflow"]}
    pages = {"pool_name": f"{stack.schemas['workflow']} pages"}

    await stack.draft()

    metrics = await scrape(stack, url)
    assert value(metrics, "db_client_connection_max", **pool) == 8
    assert value(metrics, "db_client_connection_max", **pages) == 3
    assert value(metrics, "db_client_connection_count", **pool, state="idle") >= 1
    assert value(metrics, "db_client_connection_count", **pool, state="used") == 0


async def test_metrics_count_each_cut_over_by_outcome_and_time_it(scraped):
    stack, url = scraped
    workflow, _ = await stack.workflow()
    before = await scrape(stack, url)

    await stack.app(workflow["id"])

    after = await scrape(stack, url)
    for name, labels in (
        ("flowpin_rollouts_total", {"outcome": "live"}),
        ("flowpin_rollout_seconds_bucket", {"le": "+Inf"}),
    ):
        assert value(after, name, **labels) - value(before, name, **labels) == 1


async def test_metrics_contain_no_input_of_callers(scraped):
    stack, url = scraped
    workflow = await stack.draft(name=CANARY)
    version = await stack.save(workflow["id"], CANARY)
    app = await stack.app(workflow["id"], name=CANARY)
    await stack.rest("GET", f"/v1/apps/{CANARY}?sort={CANARY}", headers={"X-Request-Id": CANARY})

    metrics = await scrape(stack, url)

    for secret in (CANARY, "dyn_pat_", workflow["id"], version["id"], app["id"], str(stack.people.project)):
        assert secret not in metrics
    assert "process_resident_memory_bytes" in metrics


async def test_a_metrics_port_in_use_is_refused_by_name():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(RuntimeError, match=f"metrics cannot be served on {address}"):
            async with exposed(address):
                pass

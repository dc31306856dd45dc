"""While one caller sends the most expensive documents, reads of another stay quick."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.bystanders import calling, p99, token_of_another
from tests.support.hostile_documents import CONFIGS, FLOWS, another
from tests.support.stack import FLOW, FLOW_UI
from tests.support.up_caller import Caller
from tests.support.up_process import Up

pytestmark = pytest.mark.load

BYTES = (16 << 20) - 1000
MOST_MS = 100.0
"""The target. 134 to 174 ms were measured on two busy cores; on an idle machine it was not measured."""
SECONDS = 3.0
"""Each call is repeated for this time."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("hostile") / "data").start()
    yield up.ready()
    up.end()


@pytest.fixture
async def person(run: Up) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        yield Caller(run.env, session)


@pytest.fixture(scope="module")
def other_token(run: Up) -> str:
    return token_of_another(run)


async def workflow(person: Caller, *flows: bytes) -> str:
    """The path of a workflow with these versions."""
    fields = b'"name": "n", "project_id": "%s", ' % person.project.encode()
    draft = await person.ok("POST", "/v1/workflows", b"{" + fields + documents(FLOW, FLOW_UI)[1:])
    path = f"/v1/workflows/{draft['id']}"
    for flow in flows:
        await person.ok("POST", f"{path}/save", documents(flow))
    return path


def documents(flow: bytes, flow_ui: bytes = b"{}") -> bytes:
    return b'{"flow": ' + flow + b', "flow_ui": ' + flow_ui + b"}"


def of_project(person: Caller, rest: bytes) -> bytes:
    return b'{"project_id": "%s", ' % person.project.encode() + rest[1:]


async def costly_calls(person: Caller, kind: str, name: str) -> list[tuple[str, str, bytes | None]]:
    flow = FLOWS[name](BYTES) if kind != "import" else b""
    match kind:
        case "save" | "save a canvas":
            path = await workflow(person, FLOW)
            body = documents(flow) if kind == "save" else documents(FLOW, flow)
            return [("POST", f"{path}/save", body)]
        case "validate":
            return [("POST", "/v1/workflows/validate", b'{"flow": ' + flow + b"}")]
        case "export":
            return [("POST", "/v1/workflows/export", of_project(person, b'{"flow": ' + flow + b"}"))]
        case "export a version":
            return [("GET", f"{await workflow(person, flow)}/versions/1/export", None)]
        case "compare":
            return [("GET", f"{await workflow(person, flow, another(flow))}/versions/1/diff/2", None)]
        case "import":
            config = json.dumps(CONFIGS[name](BYTES - 1_000_000)).encode()
            return [("POST", "/v1/workflows/import", of_project(person, b'{"name": "n", "config": ' + config + b"}"))]
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("save", "lists"),
        ("save", "levels"),
        ("save", "keys twice"),
        ("save", "nodes without anything"),
        ("save a canvas", "half surrogate pairs"),
        ("validate", "lists"),
        ("validate", "a long key, half surrogate pairs"),
        ("validate", "openings"),
        ("export", "digits"),
        ("export", "flows in flows"),
        ("export a version", "lists"),
        ("compare", "digits"),
        ("compare", "floats"),
        ("import", "numbers of base 60"),
        ("import", "levels"),
    ],
)
async def test_reads_of_another_caller_stay_quick_beside_an_expensive_document(
    run: Up, person: Caller, other_token: str, kind: str, name: str
):
    read = f"{run.env['FLOWPIN_URL']}{await workflow(person, FLOW)}/versions/1"
    calls = await costly_calls(person, kind, name)

    async with calling(read, other_token) as alone:
        await asyncio.sleep(SECONDS / 2)
    statuses = []
    async with calling(read, other_token) as beside:
        until = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < until:
            statuses += [(await person.rest(*call)).status for call in calls]

    sys.stderr.write(f"{kind}, {name}: p99 {p99(alone):.0f} ms alone, {p99(beside):.0f} ms beside {statuses}\n")
    assert set(statuses) <= {200, 201, 400, 413}
    assert p99(beside) < max(MOST_MS, 2 * p99(alone))  # the machine may be busy

"""Replicas with the real SDK load flows, answer runs, and isolate them."""

import asyncio
import json
import os
import signal
import time

import pytest

from run_service.hosting.client import ReplicaFailed, RunStreamed
from tests.support.hosting.host_process import alive, answer, ended, events_of, spec_of
from tests.support.hosting.model_server import running_model
from tests.support.hosting.sdk_flows import UNRESTRICTED, asks_model, document, multiplies, python

pytestmark = pytest.mark.apps


async def test_the_output_of_a_run_is_the_output_of_the_output_node(host, runtime):
    replica = await host.start(spec_of(runtime, multiplies()))

    async with host.connect(replica.id) as connection:
        found = await answer(connection, {"price": 2.5, "quantity": 4})

    assert found == {"output": {"text": "total=10.0"}, "total": 10.0}


async def test_fifty_concurrent_callers_get_their_own_answers(host, runtime):
    replica = await host.start(spec_of(runtime, multiplies(), slots=8))

    async with host.connect(replica.id) as connection:
        calls = [answer(connection, {"price": number, "quantity": 1}) for number in range(50)]
        answers = await asyncio.gather(*calls)

    assert [found["output"]["text"] for found in answers] == [f"total={number}" for number in range(50)]


async def test_the_error_of_a_run_names_the_node_that_failed(host, runtime):
    replica = await host.start(spec_of(runtime, multiplies()))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"price": "x", "quantity": "y"})

    assert (end.status, end.node) == ("failed", "compute")
    assert "multiply" in end.error


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ({"nodes": {}}, "cannot be loaded"),
        (document({"a": {"type": "dynamiq.nodes.NoSuchNode"}}), "NoSuchNode"),
        (document({"a": {"type": "dynamiq.nodes.operators.Expression", "expressions": 5}}), "expressions"),
    ],
)
async def test_a_flow_that_cannot_be_parsed_is_refused_with_a_reason(host, runtime, flow, said):
    with pytest.raises(ReplicaFailed, match=said) as failed:
        await host.start(spec_of(runtime, flow))

    assert failed.value.reason == "FLOW_INVALID"


@pytest.mark.parametrize("connection", [{"api_key": "${oc.env:OPENAI_API_KEY}"}, {}])
async def test_a_start_without_a_needed_variable_names_the_variable(host, runtime, connection):
    with pytest.raises(ReplicaFailed) as failed:
        await host.start(spec_of(runtime, asks_model(connection)))

    assert failed.value.reason == "VARIABLE_MISSING"
    assert failed.value.message == "The flow needs the variable OPENAI_API_KEY, which is not set."


@pytest.mark.parametrize("connection", [{"api_key": "${oc.env:OPENAI_API_KEY}"}, {}])
async def test_a_model_gets_its_key_from_the_variables_and_streams_its_words(host, runtime, connection):
    async with running_model() as model:
        variables = {"OPENAI_API_KEY": "sk-canary", "OPENAI_URL": model.url}
        replica = await host.start(spec_of(runtime, asks_model(connection), variables=variables))
        async with host.connect(replica.id) as router:
            events = await events_of(router, {"question": "one two three"}, stream=True)

    streamed = [event for event in events if isinstance(event, RunStreamed)]
    words = [json.loads(event.data)["data"]["choices"][0]["delta"].get("content") for event in streamed]
    assert "".join(word or "" for word in words) == "one two three "
    assert {event.name for event in streamed} == {"answer"}
    assert json.loads(events[-1].output) == {"output": "one two three "}
    assert model.keys == ["sk-canary"]


async def test_replicas_draw_different_numbers(host, runtime):
    code = (
        "import random\nimport numpy\ndef run(input_data):\n    return [random.random(), float(numpy.random.rand())]\n"
    )
    drawn = []
    for _ in range(2):
        replica = await host.start(spec_of(runtime, python(code)))
        async with host.connect(replica.id) as connection:
            drawn += (await answer(connection, {"value": 1}))["output"]

    assert len(set(drawn)) == 4


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "os.listdir('/proc')",
        "open('/proc/self/environ').read()",
        "os.listdir('/tmp')",
        "os.listdir(os.path.dirname(os.getcwd()))",
        "os.kill(os.getppid(), 0)",
    ],
)
async def test_a_node_cannot_read_write_or_connect_outside_its_replica(host, runtime, code):
    code = f"{UNRESTRICTED}import io\nopen = io.open\ndef run(input_data):\n    return {code}\n"
    replica = await host.start(spec_of(runtime, python(code)))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"value": 1})

    assert (end.status, end.node) == ("failed", "code")
    assert "Permission denied" in end.error or "Operation not permitted" in end.error


async def test_a_node_that_prints_the_environment_finds_the_apps_variables(host, runtime):
    code = f"{UNRESTRICTED}def run(input_data):\n    return dict(os.environ)\n"
    replica = await host.start(spec_of(runtime, python(code), variables={"KEY": "value"}))

    async with host.connect(replica.id) as connection:
        found = (await answer(connection, {"value": 1}))["output"]

    assert set(found) - {"LITELLM_LOCAL_MODEL_COST_MAP"} == {"KEY", "HOME", "TMPDIR", "USER", "LANG"}


async def test_a_node_in_an_endless_loop_ends_its_own_replica_only(host, runtime):
    looping = await host.start(spec_of(runtime, python("def run(input_data):\n    while True:\n        pass\n")))
    beside = await host.start(spec_of(runtime, multiplies()))

    async with host.connect(looping.id) as one, host.connect(beside.id) as other:
        loop = asyncio.create_task(ended(one, {"value": 1}, deadline_seconds=1))
        await asyncio.sleep(0.3)
        assert (await answer(other, {"price": 3, "quantity": 1}))["total"] == 3
        end = await loop

    assert end.status == "timed_out"
    ids = {replica.id for replica in await host.list()}
    assert looping.id not in ids
    assert beside.id in ids


async def test_a_node_that_exceeds_the_memory_limit_fails_its_run(host, runtime):
    replica = await host.start(
        spec_of(runtime, python("def run(input_data):\n    return len('x' * input_data['value'])\n"))
    )

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"value": 1 << 30})
        after = (await answer(connection, {"value": 10}))["output"]

    assert (end.status, after) == ("failed", 10)


async def test_a_fork_bomb_in_a_node_is_ended_with_all_its_processes(host, runtime):
    forks = "try:\n            os.fork()\n        except OSError:\n            pass"
    code = f"{UNRESTRICTED}def run(input_data):\n    while True:\n        {forks}\n"
    bomb = await host.start(spec_of(runtime, python(code), project_id="bomb"))
    beside = await host.start(spec_of(runtime, multiplies()))

    async with host.connect(bomb.id) as one, host.connect(beside.id) as other:
        run = asyncio.create_task(ended(one, {"value": 1}, deadline_seconds=0.5))
        assert (await answer(other, {"price": 3, "quantity": 1}))["total"] == 3
        assert (await run).status == "timed_out"

    assert not alive(bomb.pid)


async def test_a_run_is_canceled_between_two_nodes(host, runtime):
    slow = python("import time\ndef run(input_data):\n    time.sleep(0.5)\n    return 1\n")
    replica = await host.start(spec_of(runtime, slow))

    async with host.connect(replica.id) as connection:
        end = await ended(connection, {"value": 1}, deadline_seconds=0.2)

    assert end.status == "timed_out"
    assert alive(replica.pid)


async def test_a_killed_zygote_is_replaced_without_another_import(host, up, runtime):
    await host.start(spec_of(runtime, multiplies()))
    written = json.loads((up.data / "apps" / "processes.json").read_text())["processes"]
    zygotes = {entry["pid"] for entry in written} - {replica.pid for replica in await host.list()}

    os.kill(min(zygotes), signal.SIGKILL)
    began = time.monotonic()
    await host.start(spec_of(runtime, multiplies("price")))

    assert time.monotonic() - began < 5
    assert (up.data / "logs" / "host.log").read_text().count("runtime_imported") == 1


async def test_the_paths_of_a_flow_are_parsed_once(host, runtime):
    code = f"""
        {UNRESTRICTED.splitlines()[0]}
        import dynamiq.utils.jsonpath as jsonpath

        def run(input_data):
            return jsonpath.parse.cache_info().misses
    """
    replica = await host.start(spec_of(runtime, python(code)))

    async with host.connect(replica.id) as connection:
        first, second, third = [await answer(connection, {"value": turn}) for turn in range(3)]

    assert first["output"] > 0
    assert second == third

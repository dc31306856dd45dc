"""How the gateway turns the answer of a service into an HTTP answer."""

import asyncio
import gc

import pytest

from gateway.handlers import Answer
from tests.support.observed_services import APP, ETAG, PROJECT, WORKFLOW, ZIP, running_world

SAVE = f"/v1/workflows/{WORKFLOW}/save"
VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
LIST = f"/v1/workflows?project_id={PROJECT}"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'


@pytest.fixture
async def world():
    async with running_world() as world:
        yield world


async def test_documents_come_back_byte_for_byte(world):
    flow = rb'{"z" : 9007199254740993 ,' + b"\r\n\t" + rb'"a":"\u0000\ud83d\ude00\/", "e":1E400, "z2":-0.0 }'
    flow_ui = '["é\u2028", {"b":1,"a":2}]'.encode()
    await world.post(SAVE, b'{"flow_ui":  ' + flow_ui + b' ,"flow":' + flow + b"}")

    answer = await world.get(VERSION)

    assert b'"flow":' + flow + b',"flow_ui":' + flow_ui + b"}}" in answer.body


async def test_an_idle_connection_keeps_no_answer_in_memory(world):
    assert (await world.get(VERSION)).body
    await asyncio.sleep(0.1)

    answers = [each for each in gc.get_objects() if isinstance(each, Answer)]
    assert [each.body for each in answers if each.body is not None] == []


async def test_the_response_message_becomes_the_body_as_json(world):
    answer = await world.get(LIST)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
        "data": [],
        "pagination": {"page": 1, "page_size": 25, "page_count": 0, "total_count": 0},
    }


async def test_an_enum_has_its_short_name_in_requests_and_answers(world):
    answer = await world.get(f"/v1/apps/{APP}/deployments?status=canceled")

    assert answer.json["data"][0]["status"] == "canceled"


async def test_a_call_that_creates_something_answers_201(world):
    answer = await world.post(
        "/v1/workflows", {"project_id": PROJECT, "name": "a", "flow": {"nodes": []}, "flow_ui": {}}
    )

    assert answer.status == 201


async def test_a_download_is_a_file(world):
    answer = await world.post("/v1/workflows/export", {"project_id": PROJECT, "flow": {"nodes": []}})

    assert answer.status == 200
    assert answer.body == ZIP
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=workflow.zip"


async def test_the_etag_of_the_service_is_the_etag_of_the_answer(world):
    read = await world.get(VERSION)
    changed = await world.post(SAVE, DOCUMENTS)

    assert read.headers["ETag"] == changed.headers["ETag"] == ETAG


async def test_a_read_without_an_etag_of_the_service_gets_one_from_its_body(world):
    world.observed.trailers = ()
    first = await world.get(VERSION)
    same = await world.get(VERSION)
    await world.post(SAVE, DOCUMENTS)

    other = await world.get(VERSION)

    assert first.headers["ETag"] == same.headers["ETag"] != other.headers["ETag"]


async def test_a_change_without_an_etag_of_the_service_has_no_etag(world):
    world.observed.trailers = ()

    answer = await world.post(SAVE, DOCUMENTS)

    assert "ETag" not in answer.headers


@pytest.mark.parametrize("given", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
async def test_a_read_with_the_current_etag_is_a_304(world, given):
    answer = await world.get(VERSION, if_none_match=given)

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "X-Request-Id" in answer.headers


async def test_a_list_is_a_304_while_it_stays_the_same(world):
    world.observed.trailers = ()
    first = await world.get(LIST)

    second = await world.get(LIST, if_none_match=first.headers["ETag"])

    assert second.status == 304


async def test_a_read_with_another_etag_is_a_200(world):
    answer = await world.get(VERSION, if_none_match='"other"')

    assert answer.status == 200


async def test_if_none_match_is_ignored_on_a_change(world):
    answer = await world.post(SAVE, DOCUMENTS, if_none_match=ETAG)

    assert answer.status == 200


async def test_head_answers_like_get_without_the_body(world):
    read = await world.get(VERSION)

    head = await world.call("HEAD", VERSION)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["ETag"] == read.headers["ETag"]
    assert head.headers["Content-Length"] == read.headers["Content-Length"]


async def test_a_replayed_answer_has_the_header_idempotent_replayed(world):
    first = await world.post(SAVE, DOCUMENTS)
    world.observed.trailers = (("idempotent-replayed", "true"),)

    second = await world.post(SAVE, DOCUMENTS)

    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_answers_may_be_cached_privately_and_must_be_revalidated(world):
    answers = [await world.get(VERSION), await world.post(SAVE, b"nope"), await world.get("/v1/nothing")]

    assert {answer.headers["Cache-Control"] for answer in answers} == {"private, no-cache"}


@pytest.mark.parametrize("path", [LIST, "/v1/nothing", "/", "/docs", "/openapi.json", "/health/live", VERSION])
async def test_every_answer_has_nosniff_and_no_server_header(world, path):
    answer = await world.get(path)

    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert not answer.headers.get("Server")


async def test_an_answer_to_invalid_http_has_nosniff_and_no_server_header(world):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")

    head = (await reader.read()).decode()
    writer.close()

    assert " 400 " in head
    assert "nosniff" in head
    assert "aiohttp" not in head.lower()
    assert "python" not in head.lower()

"""How the gateway turns an HTTP request into a call of a service."""

import pytest
from yarl import URL

from tests.support.observed_services import APP, PROJECT, WORKFLOW, running_world

SAVE = f"/v1/workflows/{WORKFLOW}/save"
DEPLOY = f"/v1/apps/{APP}/deploy"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'


@pytest.fixture
async def world():
    async with running_world(max_body_bytes=100_000) as world:
        yield world


async def test_path_and_body_become_the_request(world):
    await world.post(SAVE, {"flow": {"nodes": []}, "flow_ui": {}, "description": "first", "unknown": 1})

    request = world.observed.requests[-1]
    assert request.workflow_id == WORKFLOW
    assert request.flow.utf8 == b'{"nodes": []}'
    assert request.description == "first"
    assert not request.HasField("name")


async def test_path_and_query_become_the_request(world):
    await world.get(f"/v1/apps/{APP}/deployments?status=failed&page=2&started_at:gte=2026-01-31T14:00:00%2B02:00")

    request = world.observed.requests[-1]
    assert request.app_id == APP
    assert request.page == 2
    assert request.started_at.gte.ToJsonString() == "2026-01-31T12:00:00Z"
    assert not request.HasField("page_size")


async def test_the_query_of_a_call_with_a_body_is_ignored(world):
    await world.post(f"{SAVE}?description=query", DOCUMENTS)

    assert not world.observed.requests[-1].HasField("description")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
async def test_the_content_type_of_a_request_is_ignored(world, content_type):
    answer = await world.post(SAVE, DOCUMENTS, content_type=content_type)

    assert answer.status == 200


async def test_an_empty_body_is_read_as_an_empty_object(world):
    answer = await world.call("PUT", f"/v1/workflows/{WORKFLOW}")

    assert answer.status == 200


async def test_an_escaped_slash_stays_inside_its_path_variable(world):
    await world.get(f"/v1/workflows/{WORKFLOW}/versions/a%2Fb%20%C3%A9")

    assert world.observed.requests[-1].version == "a/b é"


@pytest.mark.parametrize("path", ["/v1/%6de", "/v1/m%65", "/%761/me", f"/v1/workflows/{WORKFLOW}/versions/%31"])
async def test_a_path_with_letters_or_digits_encoded_is_a_404(world, path):
    async with world.http.get(URL(world.url + path, encoded=True), headers={"Authorization": "Bearer x"}) as answer:
        assert answer.status == 404

    assert not world.observed.requests


async def test_a_call_without_a_token_reaches_no_service(world):
    answer = await world.post(SAVE, DOCUMENTS, authorization=None)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.details == {"reason": "TOKEN_INVALID"}
    assert world.observed.requests == []


async def test_token_request_id_and_idempotency_key_are_forwarded(world):
    await world.post(
        SAVE, DOCUMENTS, authorization="Bearer dyn_pat_abc", x_request_id="call-7", idempotency_key="once only"
    )

    metadata = world.observed.metadata
    assert metadata["authorization"] == "Bearer dyn_pat_abc"
    assert metadata["x-request-id"] == "call-7"
    assert metadata["idempotency-key"] == "once only"


async def test_an_answer_carries_the_callers_request_id(world):
    answer = await world.post(SAVE, DOCUMENTS, x_request_id="call-7")

    assert answer.headers["X-Request-Id"] == "call-7"


async def test_a_call_without_a_request_id_gets_one(world):
    answer = await world.post(SAVE, DOCUMENTS)

    assert answer.headers["X-Request-Id"] == world.observed.metadata["x-request-id"]


@pytest.mark.parametrize("key", [" ", "k" * 256, "é"])
async def test_a_malformed_idempotency_key_is_a_400_that_names_it(world, key):
    answer = await world.post(SAVE, DOCUMENTS, idempotency_key=key)

    assert answer.status == 400
    assert "Idempotency-Key" in answer.details
    assert world.observed.requests == []


@pytest.mark.parametrize(
    "body",
    [b"nope", b"[]", b'{"flow": "\xff"}', b"{" * 5000, b'{"flow": ' + b"[" * 15_000 + b"]" * 15_000 + b"}", b" "],
    ids=["no JSON", "a list", "no UTF-8", "braces", "deep", "blank"],
)
async def test_a_body_that_is_not_a_json_object_is_a_400(world, body):
    answer = await world.post(SAVE, body)

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.error["message"].startswith("The body ")
    assert answer.details == {"reason": "INVALID_REQUEST"}
    assert world.observed.requests == []


async def test_one_400_names_all_wrong_and_all_missing_fields(world):
    answer = await world.post("/v1/workflows", {"project_id": 7, "description": [], "flow": {}, "name": "a"})

    assert answer.status == 400
    assert answer.details == {
        "project_id": "must be a string",
        "description": "must be a string",
        "flow_ui": "is required",
        "reason": "INVALID_REQUEST",
    }


async def test_a_key_given_twice_is_a_400_that_names_it(world):
    body = f'{{"workflow_id": "{WORKFLOW}", "deployment_config": {{"deployment_type": "serverless", '
    body += '"deployment_type": "server_based"}}'

    answer = await world.post(DEPLOY, body.encode())

    assert answer.status == 400
    assert answer.details["deployment_config.deployment_type"] == "must not be given twice"


async def test_a_body_of_the_wrong_length_or_encoding_is_a_400(world):
    answer = await world.post(SAVE, b"not gzip", content_encoding="gzip")

    assert answer.status == 400


async def test_a_wrong_query_value_is_a_400_that_names_its_field(world):
    answer = await world.get(f"/v1/workflows?project_id={PROJECT}&page=x&created_at:gte=yesterday")

    assert answer.status == 400
    assert set(answer.details) == {"created_at.gte", "page", "reason"}


async def test_a_body_over_the_limit_is_a_413(world):
    answer = await world.post(SAVE, b'{"flow": "' + b"x" * 100_000 + b'"}')

    assert (answer.status, answer.error["code"]) == (413, "payload_too_large")
    assert world.observed.requests == []


async def test_a_chunked_body_over_the_limit_is_a_413(world):
    async def chunks():
        for _ in range(30):
            yield b" " * 10_000

    async with world.http.post(world.url + SAVE, data=chunks(), headers={"Authorization": "Bearer x"}) as response:
        assert response.status == 413


async def test_documents_of_many_megabytes_are_forwarded():
    document = b'["' + b"x" * (16 << 20) + b'"]'

    async with running_world() as world:
        answer = await world.post(SAVE, b'{"flow":' + document + b',"flow_ui":' + document + b"}")

        assert answer.status == 200
        assert world.observed.requests[-1].flow_ui.utf8 == document

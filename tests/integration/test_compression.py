"""Large answers are compressed for callers that accept it, except answers that may contain a secret."""

import json
import zlib

import pytest
from pydantic import SecretStr

from gateway.compression import has_secrets, takes_gzip
from gateway.routes import routes_of
from gateway.server import ALL_CONTRACTS
from service_kit.release import VERSION
from tests.support.stack import FLOW, running_stack

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}
BIG = {**json.loads(FLOW), "note": "the same words again and again " * 10_000}


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("br, GZip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip;q=many", False),
        ("br", False),
        ("xgzip", False),
        ("", False),
    ],
)
def test_an_answer_is_compressed_when_the_caller_accepts_gzip(header, takes):
    assert takes_gzip({"Accept-Encoding": header}) is takes


def test_answers_with_access_keys_or_variables_are_never_compressed():
    secret = {f"{r.verb} {r.template}" for r in routes_of(ALL_CONTRACTS) if has_secrets(r.rpc.output_type)}

    assert secret == {
        "GET /v1/access-keys",
        "POST /v1/access-keys",
        "GET /v1/apps/{app_id}/variables",
        "GET /v1/apps/{app_id}/variables/{name}",
        "PUT /v1/apps/{app_id}/variables/{name}",
    }


async def test_a_large_answer_is_compressed_and_is_the_same_document(stack):
    workflow = await stack.draft()
    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", {"flow": BIG, "flow_ui": {}})
    path = f"/v1/workflows/{workflow['id']}/versions/{saved['id']}"

    plain = await stack.rest("GET", path, headers=PLAIN)
    async with stack.session.get(
        f"http://127.0.0.1:{stack.gateway_port}{path}",
        headers={**GZIP, "Authorization": f"Bearer {stack.people.secret('admin')}"},
        auto_decompress=False,
    ) as answer:
        compressed = await answer.read()

    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert zlib.decompress(compressed, 31) == plain.content
    assert len(compressed) < len(plain.content) / 10
    assert answer.headers["ETag"] == plain.headers["ETag"]
    assert "Content-Encoding" not in plain.headers


async def test_a_large_list_of_variables_is_not_compressed(unstarted):
    async with running_stack(unstarted, deploy={"variable_keys": SecretStr("a" * 64)}) as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        for number in range(4):
            value = {"value": "the same words " * 2_000}
            await stack.ok("PUT", f"/v1/apps/{app['id']}/variables/TEXT_{number}", value)

        answer = await stack.rest("GET", f"/v1/apps/{app['id']}/variables", headers=GZIP)

    assert len(answer.content) > 100_000
    assert "Content-Encoding" not in answer.headers


async def test_every_answer_names_the_release(stack):
    paths = ["/", "/openapi.json", "/docs", "/health/live", "/v1/me", "/v1/workflows/nothing", "/nowhere"]

    answers = [await stack.rest("GET", path) for path in paths]
    refused = await stack.rest("GET", "/v1/me", token=None)

    assert {answer.headers["Flowpin-Version"] for answer in [*answers, refused]} == {VERSION}
    assert answers[0].body["version"] == VERSION

"""The body of a call is JSON or a form. A refusal names the wrong fields."""

import json
from typing import Any

import aiohttp
import pytest

from tests.support.apps.world import Apps

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", {"input"}),
        (b"", {"input"}),
        (b'{"input": null}', {"input"}),
        (b'{"input": [1]}', {"input"}),
        (b'{"input": "{}"}', {"input"}),
        (
            b'{"input": 1, "stream": "yes", "execution_mode": "later", "user_id": 1}',
            {"input", "stream", "execution_mode", "user_id"},
        ),
        (
            b'{"input": {}, "session_id": {}, "callbacks": {}, "last_node_output": 1}',
            {"session_id", "callbacks", "last_node_output"},
        ),
    ],
)
async def test_each_wrong_field_of_a_call_is_named(shared_apps: Apps, body: bytes, fields: set[str]):
    answer = await shared_apps.call(body=body, headers=JSON)

    assert answer.refusal == (400, "INVALID_REQUEST", fields)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"nothing",
        b'{"input": {}',
        b'{"input": {"a": 01}}',
        b'{"input": {"a": "\xff"}}',
        b'{"input": {"a": NaN}}',
        b'{"input": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    ],
)
async def test_a_call_whose_body_is_not_a_json_object_is_a_bad_request(shared_apps: Apps, body: bytes):
    answer = await shared_apps.call(body=body, headers=JSON)

    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.error["message"]


async def test_unknown_fields_of_a_call_are_ignored(shared_apps: Apps):
    answer = await shared_apps.call({"a": 1}, colour="red", files=[])

    assert answer.status == 200


async def test_user_and_session_become_part_of_the_input_unless_it_has_them(shared_apps: Apps):
    answer = await shared_apps.call({"user_id": "ada"}, user_id="bob", session_id="s")

    assert answer.body["output"]["input"] == {"user_id": "ada", "session_id": "s"}


@pytest.mark.parametrize("content_type", ["text/plain", "text/html; charset=utf-8", "application/xml", "image/png"])
async def test_a_call_with_another_content_type_is_unsupported(shared_apps: Apps, content_type: str):
    answer = await shared_apps.call(body=b'{"input": {}}', headers={"Content-Type": content_type})

    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json; charset=utf-8"])
async def test_the_content_type_that_curl_sends_is_read_as_json(shared_apps: Apps, content_type: str):
    answer = await shared_apps.call(body=b'{"input": {}}', headers={"Content-Type": content_type})

    assert answer.status == 200


def form(**fields: Any) -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        writer.append(value).set_content_disposition("form-data", name=name)
    return writer


async def test_a_form_is_read_as_the_chat_widget_sends_it(shared_apps: Apps):
    sent = form(input='{"q": 1}', user_id="ada", chat_history='[{"role": "user"}]', stream="false", colour="red")

    answer = await shared_apps.call(body=sent)

    assert answer.body["output"]["input"] == {"q": 1, "user_id": "ada", "chat_history": [{"role": "user"}]}


async def test_a_malformed_form_is_a_bad_request(shared_apps: Apps):
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = [
        await shared_apps.call(body=form(input="no JSON")),
        await shared_apps.call(body=form(user_id="ada")),
        await shared_apps.call(body=b"nothing", headers=multipart),
        await shared_apps.call(body=b"--x\r\n\r\nno name\r\n--x--\r\n", headers=multipart),
        await shared_apps.call(body=b"--x--", headers={"Content-Type": "multipart/form-data"}),
        await shared_apps.call(body=form(**{f"f{number}": "x" for number in range(200)})),
    ]

    assert [(answer.status, answer.error["code"]) for answer in refused] == [(400, "bad_request")] * len(refused)
    assert refused[0].refusal[2] == {"input"}


async def test_async_calls_callbacks_and_files_are_refused_as_not_implemented(shared_apps: Apps):
    refused = [
        await shared_apps.call({}, execution_mode="async"),
        await shared_apps.call({}, callbacks=[{"url": "https://example.test"}]),
        await shared_apps.call(body=form(input="{}", files="content")),
    ]

    assert [(answer.status, answer.error["code"]) for answer in refused] == [(501, "not_implemented")] * 3
    assert ["not implemented yet" in answer.error["message"] for answer in refused] == [True] * 3


async def test_a_call_with_a_body_over_the_limit_is_too_large(shared_apps: Apps):
    large = json.dumps({"input": {"a": "x" * (5 << 20)}}).encode()

    async def in_pieces() -> Any:
        yield large

    for body in (large, in_pieces()):
        answer = await shared_apps.call(body=body, headers=JSON)
        assert (answer.status, answer.error["code"]) == (413, "payload_too_large")

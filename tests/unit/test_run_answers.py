"""The console reads answers of runs as the run service sends them."""

import json
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.rpc.http_pb2 import HttpHeader, HttpResponse

from console.run_answers import MOST_ANSWER_BYTES, RunAnswer
from service_kit.http.event_stream import event_text

FAILED = {"error": {"code": "run_failed", "message": "It failed.", "details": {"node": "ask", "error": "no key"}}}


def event(name: str, data: Any) -> HttpBody:
    return HttpBody(data=event_text(name, json.dumps(data).encode()))


def part(content: Any) -> Any:
    data = {"choices": [{"delta": {"content": content}}]}
    return {"entity_id": "n1", "source": {"id": "n1", "name": "ask", "type": "llm"}, "data": data}


def answer_of(*messages: HttpBody, is_stream: bool = True) -> RunAnswer:
    answer = RunAnswer(is_stream)
    for message in messages:
        answer.take(message)
    answer.end()
    return answer


def test_a_streamed_answer_collects_its_text_and_nodes():
    answer = answer_of(
        event("answer", part("one ")),
        event("answer", part({"answer": "two"})),
        event("answer", {"anything": [1]}),
        event("completed", {"id": "r", "output": {"a": 1}}),
    )

    assert (answer.outcome, answer.text, answer.run_id) == ("completed", "one two", "r")
    assert [(node.name, node.messages) for node in answer.nodes.values()] == [("ask", 2)]
    assert json.loads(answer.output) == {"a": 1}


def test_a_failed_run_names_its_node_streamed_or_not():
    streamed = answer_of(event("answer", part("one")), event("failed", FAILED))
    whole = answer_of(HttpBody(data=json.dumps(FAILED).encode()), is_stream=False)

    for answer in (streamed, whole):
        assert (answer.outcome, answer.error, answer.failed_node) == ("failed", "no key", "ask")
    assert streamed.state_of(streamed.nodes["n1"]) == ("Failed", "bad")


def test_a_flows_own_event_named_completed_does_not_end_the_answer():
    answer = answer_of(event("completed", part("one")), event("completed", {"id": "r", "output": "text"}))

    assert (answer.text, answer.output) == ("one", "text")


def test_an_interrupted_stream_is_a_failed_run():
    answer = answer_of(event("answer", part("one")))

    assert (answer.outcome, answer.error) == ("failed", "The stream ended before the run did.")


def test_the_answer_has_the_version_from_the_first_messages_headers():
    first = HttpBody()
    first.extensions.add().Pack(HttpResponse(headers=[HttpHeader(key="X-Flowpin-Version", value="v7")]))

    assert answer_of(first, event("completed", {"id": "r", "output": 1})).version == "v7"


def test_an_answer_too_long_to_show_is_cut():
    long = answer_of(event("a", part("x" * (MOST_ANSWER_BYTES + 1))), event("completed", {"id": "r", "output": 1}))

    assert (len(long.text), long.is_cut, long.outcome) == (MOST_ANSWER_BYTES, True, "completed")

"""Makes flows for savers, and flows that apps run. A saver's flow is unique, and not formatted as by a JSON library."""

import hashlib
import json

VERSIONS_AT_MOST = 100
FLOW_UI = b'{"zoom" : 1.50, "nodes":[ ]}'


def flow_of(operation: str) -> bytes:
    """A flow that only this operation sends, so that its version is recognized by its bytes."""
    return (
        b'{ "nodes" :[{"type":"x.Y",  "id":"n"}],\n\t"big": 9007199254740993, "nul": "\\u0000", "e": 1E+2, "by": "%s" }'
        % operation.encode()
    )


def answering_flow(version: int) -> bytes:
    """A flow that answers the input {"call": number} with `answer_of(…)` of this number and `version`. So each answer
    identifies its call and its version."""
    take = {"selector": {"call": "$.input.output.call"}}
    give = {"selector": {"output": "$.answer.output.answer"}}
    nodes = [
        {"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input"},
        {
            "id": "answer",
            "name": "answer",
            "type": "dynamiq.nodes.operators.Expression",
            "depends": [{"node": "input"}],
            "input_transformer": take,
            "expressions": [{"key": "answer", "expression": f"call * {VERSIONS_AT_MOST} + {version}"}],
        },
        {
            "id": "output",
            "name": "output",
            "type": "dynamiq.nodes.utils.Output",
            "depends": [{"node": "answer"}],
            "input_transformer": give,
        },
    ]
    return json.dumps({"nodes": nodes}).encode()


def answer_of(call: int, version: int) -> int:
    return call * VERSIONS_AT_MOST + version


def digest_of(flow: bytes, flow_ui: bytes = FLOW_UI) -> str:
    """Digest of the exact bytes, as the contract defines `canvas_digest`."""
    return f"sha256:{hashlib.sha256(flow + bytes(1) + flow_ui).hexdigest()}"

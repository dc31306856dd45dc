"""Documents for the SDK's loader, as the workflow service makes them from a canvas."""

from textwrap import dedent
from typing import Any

INPUT = {"name": "input", "type": "dynamiq.nodes.utils.Input"}


def document(nodes: dict[str, dict[str, Any]], connections: dict[str, Any] | None = None) -> dict[str, Any]:
    flows = {"flow": {"nodes": list(nodes)}}
    workflows = {"workflow": {"flow": "flow"}}
    return {"connections": connections or {}, "nodes": nodes, "flows": flows, "workflows": workflows}


def after(node: str, selector: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"depends": [{"node": node}], "input_transformer": {"selector": selector}, **fields}


def output(node: str, **selector: str) -> dict[str, Any]:
    return after(node, selector, name="output", type="dynamiq.nodes.utils.Output")


def multiplies(expression: str = "price * quantity") -> dict[str, Any]:
    """Like examples/flow.json: an Expression and a Python node."""
    selector = {"price": "$.input.output.price", "quantity": "$.input.output.quantity"}
    code = "def run(input_data):\n    return {'text': 'total=' + str(input_data['total'])}\n"
    return document(
        {
            "input": INPUT,
            "compute": after(
                "input",
                selector,
                name="compute",
                type="dynamiq.nodes.operators.Expression",
                expressions=[{"key": "total", "expression": expression}],
            ),
            "label": after(
                "compute",
                {"total": "$.compute.output.total"},
                name="label",
                type="dynamiq.nodes.tools.Python",
                code=code,
            ),
            "output": output("label", output="$.label.output.content", total="$.label.input.total"),
        }
    )


def python(code: str) -> dict[str, Any]:
    """A flow with a Python node `code`, whose input is `input_data["value"]`."""
    node = {"name": "code", "type": "dynamiq.nodes.tools.Python", "code": dedent(code)}
    return document(
        {
            "input": INPUT,
            "code": after("input", {"value": "$.input.output.value"}, **node),
            "output": output("code", output="$.code.output.content"),
        }
    )


UNRESTRICTED = "import dynamiq.utils.env as env\nos = env.os\n"
"""The SDK's restricted Python allows a node to import the SDK, and through it everything."""


def asks_model(connection: dict[str, Any]) -> dict[str, Any]:
    """A flow with an LLM node that streams."""
    node = {
        "name": "model",
        "type": "dynamiq.nodes.llms.OpenAI",
        "model": "gpt-4o-mini",
        "connection": "model",
        "prompt": {"messages": [{"role": "user", "content": "{{question}}"}]},
        "streaming": {"enabled": True, "event": "answer"},
    }
    return document(
        {
            "input": INPUT,
            "model": after("input", {"question": "$.input.output.question"}, **node),
            "output": output("model", output="$.model.output.content"),
        },
        {"model": {"type": "dynamiq.connections.OpenAI", **connection}},
    )

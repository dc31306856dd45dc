"""Steps in the console that several tests share."""

import json
from typing import TYPE_CHECKING, Any

from tests.support.stack import FLOW, FLOW_UI

if TYPE_CHECKING:
    from playwright.async_api import Page

HOSTILE = "<script>alert('x')</script>\"'&\u202egnp.exe {{7*7}}"
LONG = HOSTILE + "x" * 400


def flow_with(note: str, **changes: Any) -> dict[str, Any]:
    """The example's flow with other code in its node `label`, and changes of other nodes by id."""
    flow = json.loads(FLOW)
    for node in flow["nodes"]:
        if node["id"] == "label":
            node["code"] = f"def run(input_data):\n    return {{'text': '{note}'}}\n"
        node |= changes.get(node["id"], {})
    return flow


def layout() -> dict[str, Any]:
    return json.loads(FLOW_UI)


async def save_as(page: "Page", flow: dict[str, Any], description: str = "") -> None:
    """Enter a flow on the page Save, and save it."""
    await page.get_by_label("Version description").fill(description)
    await page.get_by_label("Flow", exact=True).fill(json.dumps(flow))
    await page.get_by_role("button", name="Save", exact=False).first.click()

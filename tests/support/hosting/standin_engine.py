"""Replaces run_service/worker/sdk.py: flows that start immediately and do what a test requests.

A flow is `{"name", "needs": [variables], "invalid": text, "load_seconds", "code": source of
`def run(value, emit, canceled)`}`.
Without code it answers `{"flow": name, "echo": input}`. A document of the workflow service has this in the only entry
of `flows`; an expression for `answer` (as of `flowpin verify --load`) is then the output.
"""

import json
import os
import time
from threading import Event
from typing import Any

from worker.outcome import LoadFailed, Outcome


class Cancellation:
    def __init__(self) -> None:
        self._event = Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def is_canceled(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


def prepare() -> None:
    """There is nothing to import."""


def load(document: str) -> dict[str, Any]:
    flow = json.loads(document)
    found = [each for node in flow.get("nodes", {}).values() for each in node.get("expressions", [])]
    answers = [each["expression"] for each in found if each["key"] == "answer"]
    flow = next(iter(flow["flows"].values())) if "flows" in flow else flow
    time.sleep(flow.get("load_seconds", 0))
    if "invalid" in flow:
        raise LoadFailed("FLOW_INVALID", f"The flow cannot be loaded: {os.path.expandvars(flow['invalid'])}")
    for name in flow.get("needs", []):
        if name not in os.environ:
            raise LoadFailed("VARIABLE_MISSING", f"The flow needs the variable {name}, which is not set.")
    if answers:
        return {
            "name": flow.get("name"),
            "run": lambda value, *_: {"output": eval(answers[0], value)},
        }
    names: dict[str, Any] = {}
    exec(flow.get("code", ""), names)
    return {"name": flow.get("name"), "run": names.get("run")}


def run(flow: dict[str, Any], value: dict[str, Any], emit: Any, cancellation: Cancellation) -> Outcome:
    if flow["run"] is None:
        return Outcome("completed", {"flow": flow["name"], "echo": value})
    output = flow["run"](value, emit, cancellation)
    return (
        Outcome("canceled", error="The run was canceled.") if cancellation.is_canceled else Outcome("completed", output)
    )

"""A replica: a fork of a zygote that drops its rights, loads a flow, and runs it for each call."""

import contextlib
import gc
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from . import confinement
from .frames import Frames
from .outcome import LoadFailed
from .runs import Runs

ADOPTION_SECONDS = 5.0


def be_replica(control: Frames, host: int, engine: Any) -> NoReturn:
    """Run as a replica, until the control socket is closed. Never returns."""
    try:
        _live(control, host, engine)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _live(control: Frames, host: int, engine: Any) -> None:
    os.setsid()
    confinement.close_all_but(control.fileno())
    wait_for_adoption(host)
    confinement.end_with_parent(host)
    control.send({"type": "forked", "pid": os.getpid()})
    received = control.receive()
    if received is None:
        return
    message, _ = received
    try:
        given = confinement.Confinement(
            folder=Path(message["folder"]),
            user=message["user"],
            limits=message["limits"],
            variables=message["variables"],
        )
        confinement.confine(given, host)
    except (OSError, ValueError) as error:
        control.send({"type": "failed", "reason": "NOT_CONFINED", "message": f"The replica was not confined: {error}."})
        return
    gc.enable()
    document = message.pop("flow")
    try:
        flow = engine.load(document)
    except LoadFailed as error:
        said = without_values(error.message, message["variables"])
        control.send({"type": "failed", "reason": error.reason, "message": said})
        return
    control.send({"type": "ready", "digest": hashlib.sha256(document.encode()).hexdigest()})
    runs = Runs(engine, flow, message["slots"], message["grace_seconds"], lambda why: _say_stuck(control, why))
    del document, message, received
    for order, descriptors in control.messages():
        if order["type"] == "connection":
            for descriptor in descriptors:
                runs.serve(descriptor)
        elif order["type"] == "stop":
            runs.stop()


def wait_for_adoption(host: int) -> None:
    """Wait until the host is the parent. A process that is forked twice becomes its child when the intermediate process
    ends."""
    end = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != host:
        if time.monotonic() > end:
            os._exit(0)
        time.sleep(0.0005)


def without_values(text: str, variables: Mapping[str, str]) -> str:
    """Remove values from the message: the SDK's errors quote invalid values, which may be secrets."""
    for name, value in sorted(variables.items(), key=lambda item: -len(item[1])):
        if value and name not in text:
            text = text.replace(value, f"<{name}>")
    return text


def _say_stuck(control: Frames, message: str) -> None:
    with contextlib.suppress(OSError):
        control.send({"type": "stuck", "message": message})

"""A zygote: a process that has imported the SDK. It forks replicas, and a twin of itself that replaces it when it dies.

Start it with bootstrap(). Modules of this package use relative imports, because its name is `worker` in the zygote.
"""

import contextlib
import gc
import os
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from . import confinement
from .frames import Frames
from .replica import be_replica, wait_for_adoption

ENGINE = ".sdk"


def bootstrap(host: int, control: int) -> list[str]:
    """Python's arguments to start a zygote, with its parent's process id and an inherited descriptor."""
    folder = str(Path(__file__).resolve().parents[1])
    # Only this package of Flowpin is imported. The path is removed again, so that flows cannot import more.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from worker.zygote import main; del sys.path[0]; "
        "main(int(sys.argv[2]), int(sys.argv[3]))"
    )
    return ["-I", "-c", code, folder, str(host), str(control)]


def main(host: int, control: int) -> NoReturn:
    confinement.end_with_parent(host)
    frames = Frames(socket.socket(fileno=control))
    try:
        engine = import_module(ENGINE, __package__)
        engine.prepare()
    except BaseException as error:
        frames.send({"type": "failed", "message": f"{type(error).__name__}: {error}"[:2000]})
        sys.exit(1)
    gc.collect()
    gc.freeze()  # so that garbage collection does not write to memory that replicas share
    gc.disable()
    serve(frames, host, engine)


def serve(control: Frames, host: int, engine: Any) -> NoReturn:
    """Fork replicas and twins for the host until it ends."""
    control.send({"type": "ready", "pid": os.getpid()})
    for message, descriptors in control.messages():
        with contextlib.suppress(OSError):  # out of processes or memory; the host sees that the socket is closed
            _fork(message["type"], descriptors[0], control, host, engine)
        for descriptor in descriptors:
            os.close(descriptor)
    os._exit(0)


def _fork(kind: str, descriptor: int, control: Frames, host: int, engine: Any) -> None:
    """Fork twice, so that the host becomes the parent of the new process when the intermediate one ends."""
    if (between := os.fork()) != 0:
        os.waitpid(between, 0)
        return
    try:
        if os.fork() == 0:
            os.close(control.fileno())  # so that the host notices when the zygote ends
            be(kind, Frames(socket.socket(fileno=descriptor)), host, engine)
    finally:
        os._exit(0)


def be(kind: str, control: Frames, host: int, engine: Any) -> NoReturn:
    if kind == "fork":
        be_replica(control, host, engine)
    wait_for_adoption(host)
    confinement.end_with_parent(host)
    serve(control, host, engine)

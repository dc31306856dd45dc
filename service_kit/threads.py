"""Work on a large document, in a thread, so that other calls need not wait for it."""

import asyncio
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from service_kit import memory

SWITCH_SECONDS = 0.001
"""How long such work may keep CPython's lock when the event loop wants it. At the usual 5 ms a call would wait as often
as it wakes the loop; but all the time, the 1 ms would cost gRPC a twentieth of its reads."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_usual_seconds = sys.getswitchinterval()
_under_way = 0


async def in_thread(work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    """What `work` returns or raises."""
    global _under_way
    _under_way += 1
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    finally:
        _under_way -= 1
        if not _under_way:
            sys.setswitchinterval(_usual_seconds)


async def read_in_thread(
    work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """The same with a document that has just come in: what it came in is given back to the system first."""

    def read() -> Result:
        memory.give_back()
        return work(*args, **kwargs)

    return await in_thread(read)

"""When a process stops: SIGTERM or Ctrl-C."""

import asyncio
import signal


async def until_stopped() -> None:
    """Return when the process is asked to stop. A second signal then has its usual effect."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)

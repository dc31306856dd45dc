"""Runs work that may hang in a thread, so that the event loop does not wait for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def start_daemon_thread(
    work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> "Future[Result]":
    """Start `work` in a new thread. The thread may hang forever, because the process does not wait for it at its
    end."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()  # from now on, the future cannot be canceled

    def run() -> None:
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future

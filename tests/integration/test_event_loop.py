"""A busy process receives new gRPC calls in few iterations of its event loop."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def iterations(module: str, name: str) -> int:
    words = [sys.executable, "-m", "tests.support.loop_turns", module, name]
    return int(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_concurrent_grpc_calls_begin_in_few_iterations_of_the_event_loop():
    ours = iterations("service_kit.hotpath.event_loop", "EventLoop")

    assert ours < 800, "several calls begin in each iteration"
    assert iterations("uvloop", "Loop") > 2 * ours, "grpc.aio no longer needs our event loop"

"""A busy process learns of new gRPC calls in few turns of its event loop."""

import subprocess
import sys


def turns(module: str, name: str) -> int:
    words = [sys.executable, "-m", "tests.support.loop_turns", module, name]
    return int(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)


def test_calls_that_came_together_begin_in_few_turns():
    ours = turns("service_kit.hotpath.event_loop", "EventLoop")

    assert ours < 800, "several in each turn"
    assert turns("uvloop", "Loop") > 2 * ours, "grpc.aio does without our help now"

"""What the logs contain, and what they must not."""

import subprocess
import sys

import pytest

BREAKS = """
import sys
from service_kit import logs
import structlog

def work(secret):
    raise RuntimeError("broke")

logs.configure("test", format=sys.argv[1])
logs.about(request_id="r-1")
logs.about(principal="p-1")
try:
    work("dyn_pat_" + "hidden")
except RuntimeError as error:
    structlog.get_logger().error("it_broke", exc_info=error, what={1, 2})
"""


@pytest.mark.parametrize("how", ["json", "console"])
def test_a_logged_traceback_shows_no_variables(how):
    done = subprocess.run([sys.executable, "-c", BREAKS, how], capture_output=True, text=True, check=True)

    assert "it_broke" in done.stderr
    assert "RuntimeError: broke" in done.stderr
    assert "r-1" in done.stderr
    assert "p-1" in done.stderr
    assert "dyn_pat_hidden" not in done.stderr


FLOODS = """
import logging
from service_kit import logs

logs.configure("test", format="json")
for _ in range(1000):
    try:
        b"\\xff".decode()
    except UnicodeDecodeError:
        logging.getLogger("grpc").exception("Invalid encoding on %s", b"\\xff" * 8000)
"""


def test_log_lines_of_libraries_are_limited():
    done = subprocess.run([sys.executable, "-c", FLOODS], capture_output=True, text=True, check=True)

    assert "grpc ERROR Invalid encoding on b'" in done.stderr
    assert "UnicodeDecodeError" in done.stderr
    assert len(done.stderr) < 40_000

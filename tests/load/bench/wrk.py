"""wrk: a closed loop over HTTP/1.1, with a small Lua script for its requests and its report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.load.bench import tools
from tests.load.bench.request import Request
from tests.load.bench.result import Load, Unmeasurable

CONNECTIONS = 32
ANSWER_SECONDS = 10

_SCRIPT = """
local turn, count = 0, 0
function init()
  for i, one in ipairs(requests) do
    prepared[i] = wrk.format(one.method, one.path, one.headers, one.body)
    count = i
  end
end
function request()
  turn = turn % count + 1
  return prepared[turn]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d, "bytes": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, summary.bytes))
end
"""


def drive(
    url: str,
    requests: Sequence[Request],
    headers: Mapping[str, str],
    seconds: float,
    scratch: Path,
    connections: int = CONNECTIONS,
) -> Load:
    """Send the requests in turn, as fast as they are answered. Raises Unmeasurable when one fails."""
    script = scratch / "wrk.lua"
    script.write_bytes(_script(requests, headers))
    words = [tools.program("wrk"), "-t1", f"-c{connections}", f"-d{_duration(seconds)}", f"--timeout={ANSWER_SECONDS}s"]
    load = parse(tools.run([*words, "-s", script, url], seconds))
    if load.errors:
        raise Unmeasurable(f"{load.errors} of {load.count} requests like {requests[0].path} failed")
    return load


def parse(output: str) -> Load:
    """Read the last line of the script's output."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise Unmeasurable("wrk printed no results")
    found = json.loads(lines[-1])
    errors = found["refused"] + found["broken"]
    return Load(
        rate=max(0, found["requests"] - found["refused"]) / found["seconds"],
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        count=found["requests"],
        errors=errors,
    )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))}s"  # wrk accepts only whole seconds


def _script(requests: Sequence[Request], headers: Mapping[str, str]) -> bytes:
    entries = [
        b"{method = %s, path = %s, headers = {%s}, body = %s}"
        % (
            _lua(one.method.encode()),
            _lua(one.path.encode()),
            b", ".join(
                b"[%s] = %s" % (_lua(name.encode()), _lua(value.encode()))
                for name, value in {**headers, **one.headers}.items()
            ),
            b"nil" if one.body is None else _lua(one.body),
        )
        for one in requests
    ]
    return b"prepared = {}\nrequests = {\n" + b",\n".join(entries) + b"\n}\n" + _SCRIPT.encode()


def _lua(text: bytes) -> bytes:
    """A Lua string with every byte unchanged, except those that would end it."""
    escaped = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b'"' + escaped.replace(b"\0", b"\\0") + b'"'

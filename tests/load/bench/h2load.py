"""h2load: gRPC over HTTP/2, and open loops over HTTP/1.1."""

import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.load.bench import tools
from tests.load.bench.percentile import percentiles
from tests.load.bench.result import Load, Unmeasurable

LANES = 20
MOST_CONNECTIONS = 4000
"""The system's limit of connections that wait to be accepted, net.core.somaxconn, is 4096. The kernel drops further
ones, and they try again after a second."""
GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}
_FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s), ([\d.]+) req/s")
_REQUESTS = re.compile(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of h2load's log."""

    sent_us: int
    """Time since the epoch."""
    status: int
    """HTTP status. -1 without an answer."""
    took_us: int


@dataclass(frozen=True, slots=True)
class Clients:
    """The number of connections and of concurrent requests on each. `rps` per connection, None for unlimited."""

    connections: int = 4
    streams: int = 8
    rps: float | None = None


def grpc_frame(message: bytes) -> bytes:
    """A message in a request's body: a flag for compression, its length, and the message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def drive(
    urls: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    scratch: Path,
    *,
    body: bytes | None = None,
    clients: Clients,
    http1: bool = False,
) -> tuple[Load, list[Answer]]:
    """Send requests to the URLs of one server in turn, as POST with a `body`. Counts failures in `errors`.

    h2load sees only HTTP. The caller has to check the gRPC status.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        log = Path(folder) / "log"
        words = [tools.program("h2load"), "-t1", f"-c{clients.connections}", f"-m{clients.streams}"]
        words += [f"-D{round(seconds * 1000)}ms", f"--log-file={log}"]
        words += [f"-H{name}: {value}" for name, value in headers.items()]
        words += [] if clients.rps is None else [f"--rps={clients.rps:.3f}"]
        words += ["--h1"] if http1 else []
        if body is not None:
            (Path(folder) / "body").write_bytes(body)
            words.append(f"-d{folder}/body")
        (Path(folder) / "urls").write_text("\n".join(urls) + "\n")
        output = tools.run([*words, f"-i{folder}/urls"], seconds)
        answers = list(read_log(log.read_text().splitlines()))
    return parse(output, answers), answers


def open_loop(
    urls: Sequence[str], headers: Mapping[str, str], seconds: float, scratch: Path, *, rate: float, body: bytes | None
) -> list[Answer]:
    """Send so many requests a second over HTTP/1.1, without waiting for answers.

    One h2load sends on all its connections at the same moments, so several processes start slightly apart. Each
    connection sends once a second, or more often above MOST_CONNECTIONS, and waits for its answer. So the number of
    connections limits the requests in progress.
    """
    connections = max(1, round(min(MOST_CONNECTIONS, rate) / LANES))
    clients = Clients(connections, streams=1, rps=rate / LANES / connections)

    def lane(number: int) -> list[Answer]:
        time.sleep(number / LANES / (clients.rps or 1))
        return drive(urls, headers, seconds, scratch, body=body, clients=clients, http1=True)[1]

    with ThreadPoolExecutor(LANES) as pool:
        return [answer for answers in pool.map(lane, range(LANES)) for answer in answers]


def read_log(lines: Iterable[str]) -> Iterable[Answer]:
    for line in lines:
        sent, status, took = line.split("\t")[:3]
        yield Answer(int(sent), int(status), int(took))


def parse(output: str, answers: Sequence[Answer]) -> Load:
    """Read rates from its output and percentiles from its log."""
    finished, requests = _FINISHED.search(output), _REQUESTS.search(output)
    if finished is None or requests is None:
        raise Unmeasurable("h2load printed no results")
    seconds = float(finished[1]) * _SECONDS[finished[2]]
    done, succeeded, failed = (int(requests[group]) for group in (1, 2, 3))
    p50, p99 = percentiles((answer.took_us / 1000 for answer in answers if 200 <= answer.status < 300), 50, 99)
    return Load(succeeded / seconds, p50, p99, done, failed)

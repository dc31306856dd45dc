"""The services' own counts of RPCs by code."""

import re
import urllib.request
from collections import Counter
from urllib.error import URLError

from tests.load.bench.result import Unmeasurable

_HANDLED = re.compile(
    r'^grpc_server_handled_total\{(?=.*grpc_code="(\w+)")(?=.*grpc_method="(\w+)").*\} ([\d.e+]+)', re.M
)


def handled(port: int, method: str) -> Counter[str]:
    """The number of answers with each code of the RPC of this name, since the start."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return parse(answer.read().decode(), method)
    except (URLError, TimeoutError) as error:
        raise Unmeasurable(f"the service's metrics cannot be read: {error}") from None


def parse(text: str, method: str) -> Counter[str]:
    found = ((code, name, float(count)) for code, name, count in _HANDLED.findall(text))
    return Counter({code: int(count) for code, name, count in found if name == method})

"""A process that calls beside a load: it sends a GET every few milliseconds and measures each.

Run with a URL, a token, and the seconds between two calls. It prints the milliseconds of each call, as a JSON list,
when its stdin ends.
"""

import http.client
import json
import select
import sys
import time
from urllib.parse import urlsplit


def main(url: str, token: str, seconds: str) -> None:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port or 80, timeout=30)
    took: list[float] = []
    while not select.select([sys.stdin], [], [], float(seconds))[0]:
        began = time.perf_counter()
        connection.request("GET", at.path, headers={"Authorization": f"Bearer {token}"})
        with connection.getresponse() as answer:
            answer.read()
            assert answer.status == 200, answer.status
        took.append((time.perf_counter() - began) * 1000)
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Sends a POST with a few fields as JSON."""

import json

from tests.load.bench.request import Request, post


def post_json(path: str, **fields: str) -> Request:
    return post(path, json.dumps(fields).encode())

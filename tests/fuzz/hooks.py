"""A hook of Schemathesis, which cannot guess a flow that the services accept."""

import zlib

import schemathesis

NODE = {"id": "input", "type": "dynamiq.nodes.utils.Input"}


@schemathesis.hook
def map_body(context, body):
    """Give most flows a node, so that Schemathesis also reaches the code after the check of a flow."""
    if isinstance(body, dict) and isinstance(body.get("flow"), dict) and zlib.crc32(repr(body).encode()) % 4:
        return {**body, "flow": {**body["flow"], "nodes": [NODE]}}
    return body

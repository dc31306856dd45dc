"""What Schemathesis cannot guess: a flow that the services take."""

import zlib

import schemathesis

NODE = {"id": "input", "type": "dynamiq.nodes.utils.Input"}


@schemathesis.hook
def map_body(context, body):
    """Most flows get a node, so that what comes after the check of a flow is reached too."""
    if isinstance(body, dict) and isinstance(body.get("flow"), dict) and zlib.crc32(repr(body).encode()) % 4:
        return {**body, "flow": {**body["flow"], "nodes": [NODE]}}
    return body

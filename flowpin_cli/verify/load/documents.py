"""The flows that savers send: each unique, and none as a JSON library would write it."""

import hashlib

FLOW_UI = b'{"zoom" : 1.50, "nodes":[ ]}'


def flow_of(operation: str) -> bytes:
    """A flow that only this operation sends, so that the version it made is known by its bytes."""
    return (
        b'{ "nodes" :[{"type":"x.Y",  "id":"n"}],\n\t"big": 9007199254740993, "nul": "\\u0000", "e": 1E+2, "by": "%s" }'
        % operation.encode()
    )


def digest_of(flow: bytes, flow_ui: bytes = FLOW_UI) -> str:
    """Of the exact bytes, as the contract defines `canvas_digest`."""
    return f"sha256:{hashlib.sha256(flow + bytes(1) + flow_ui).hexdigest()}"

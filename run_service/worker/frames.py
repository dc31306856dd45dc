"""The protocol between the host process, zygotes, replicas and routers: JSON objects in frames on Unix sockets.

A frame is 4 bytes (the length, big endian, at most MAX_FRAME_BYTES) and a JSON object in UTF-8 of that length. Its
`type` names the message. Unknown members are ignored. File descriptors are sent with the first byte of a frame.

Host and zygote, on the zygote's control socket (it ends when the socket does):

    host    → zygote   {"type": "fork"} with one descriptor: the control socket of the replica that the zygote forks
    host    → zygote   {"type": "twin"} with one descriptor: the control socket of a second zygote, a fork of this one
    zygote  → host     {"type": "ready", "pid"}: everything is imported; a twin sends it too
                       {"type": "failed", "message"}: the SDK cannot be imported; the zygote ends

Host and replica, on the replica's control socket (it ends when the socket does):

    replica → host     {"type": "forked", "pid"}: it is a child of the host, and the leader of its own session
    host    → replica  {"type": "load", "flow": the document as text, "slots",
                        "grace_seconds", and the members of confinement.Confinement}
    replica → host     {"type": "ready", "digest": hex SHA-256 of the document that it parsed}
                       {"type": "failed", "reason": FLOW_INVALID | VARIABLE_MISSING | NOT_CONFINED, "message"};
                       the replica ends
    host    → replica  {"type": "connection"} with one descriptor: the other end of a router's connection
    host    → replica  {"type": "stop"}: end as soon as no run is in progress
    replica → host     {"type": "stuck", "message"}: a run did not end when it was canceled; the replica ends.
                       Used when the run's router has ended; otherwise the router has it killed earlier

Router and replica, on a connection (when it ends, its runs are canceled):

    router  → replica  {"type": "run", "run_id", "input": {…}, "stream": whether to send streamed events}
                       {"type": "cancel", "run_id"}
    replica → router   {"type": "started", "run_id"}: the run has a slot
                       {"type": "streamed", "run_id", "name": event's name, "data": any JSON}
                       {"type": "ended", "run_id", "status": completed | failed | canceled, "output": any JSON,
                        "error": text or null, "node": name or id of the node that failed, or null}

A connection serves several runs at the same time. Each run ends with exactly one message `ended`.
"""

import contextlib
import json
import socket
import struct
from collections.abc import Iterable
from threading import Lock
from typing import Any

MAX_FRAME_BYTES = 192 << 20
"""The largest input contains 128 MiB of files in base64."""
MAX_ANSWER_BYTES = 32 << 20
"""Maximum bytes of a message from a replica to a router."""
LENGTH = struct.Struct(">I")
MAX_DESCRIPTORS = 4
"""Maximum descriptors of one message."""


class FrameTooLarge(ValueError):
    def __init__(self, size: int, limit: int = MAX_FRAME_BYTES) -> None:
        super().__init__(f"A message of {size} bytes is larger than the limit of {limit}.")


class Frames:
    """Both directions of a blocking socket. Several threads may send; only one may receive."""

    def __init__(self, sock: socket.socket, max_sent_bytes: int = MAX_FRAME_BYTES) -> None:
        self._socket = sock
        self._max_sent_bytes = max_sent_bytes
        self._sending = Lock()
        self._descriptors: list[int] = []

    def send(self, message: dict[str, Any]) -> None:
        """Raises OSError when the other end is closed, FrameTooLarge, or ValueError for values that JSON cannot
        represent."""
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if len(body) > self._max_sent_bytes:
            raise FrameTooLarge(len(body), self._max_sent_bytes)
        with self._sending:
            self._socket.sendall(LENGTH.pack(len(body)) + body)

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and its descriptors. None when the other end is closed."""
        head = self._read(LENGTH.size)
        if head is None:
            return None
        (size,) = LENGTH.unpack(head)
        if size > MAX_FRAME_BYTES:
            raise FrameTooLarge(size)
        body = self._read(size)
        if body is None:
            return None
        descriptors, self._descriptors = self._descriptors, []
        return json.loads(body), descriptors

    def messages(self) -> Iterable[tuple[dict[str, Any], list[int]]]:
        """All messages until the other end is closed."""
        try:
            while (received := self.receive()) is not None:
                yield received
        except OSError:
            return

    def _read(self, size: int) -> bytearray | None:
        parts = bytearray()
        while len(parts) < size:
            part, descriptors, _, _ = socket.recv_fds(
                self._socket, min(size - len(parts), 1 << 20), MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            self._descriptors += descriptors
            if not part:
                return None
            parts += part
        return parts

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection. This also ends `receive` and `send` in other threads."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

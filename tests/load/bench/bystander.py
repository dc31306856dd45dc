"""A caller of an RPC beside a load: the codes that its gRPC library reports, and how quickly."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import grpc
from google.protobuf.message import Message

from tests.load.bench.result import Unmeasurable

BETWEEN_SECONDS = 0.02
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class BystanderCall:
    """The outcome of one call."""

    code: str
    took_ms: float


class GrpcCaller:
    """A caller on one channel without retries."""

    def __init__(self, address: str, method: str, message: Message, headers: Mapping[str, str]) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.enable_retries", 0)])
        self._rpc = self._channel.unary_unary(f"/{method}")
        self._message = message.SerializeToString()
        self._metadata = tuple(headers.items())

    def __enter__(self) -> "GrpcCaller":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def timed(self) -> float:
        """Milliseconds of one call. Raises Unmeasurable when it fails."""
        sent = time.perf_counter()
        try:
            self._rpc(self._message, TIMEOUT_SECONDS, self._metadata)
        except grpc.RpcError as error:
            raise Unmeasurable(f"a call failed: {error}") from None
        return (time.perf_counter() - sent) * 1000

    @contextmanager
    def beside(self) -> Iterator[list[BystanderCall]]:
        """Call at a steady rate, without waiting for answers, until the block ends. Fills the list."""
        told: list[BystanderCall] = []
        over = Event()
        with ThreadPoolExecutor(1) as thread:
            calling = thread.submit(self._until, over, told)
            try:
                yield told
            finally:
                over.set()
                calling.result()

    def _until(self, over: Event, told: list[BystanderCall]) -> None:
        under_way: list[Future[bytes]] = []
        while not over.wait(BETWEEN_SECONDS):
            under_way.append(self._send(told))
        for call in under_way:
            call.exception()

    def _send(self, told: list[BystanderCall]) -> "Future[bytes]":
        sent = time.perf_counter()

        def ended(call: "Future[bytes]") -> None:
            told.append(BystanderCall(call.code().name, (time.perf_counter() - sent) * 1000))  # type: ignore[attr-defined]

        call = self._rpc.future(self._message, TIMEOUT_SECONDS, self._metadata)
        call.add_done_callback(ended)
        return call

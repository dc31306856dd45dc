"""Sends and receives frames (run_service/worker/frames.py) on a Unix socket, with asyncio."""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Sequence

from run_service.worker.frames import LENGTH, MAX_DESCRIPTORS, MAX_FRAME_BYTES, FrameTooLarge

SEND_SECONDS = 30.0
"""Seconds that the other end may read nothing."""
READ_BYTES = 256 << 10


class Channel:
    """A socket, in both directions, which it closes. Several tasks may send; only one may receive."""

    def __init__(self, sock: socket.socket, max_bytes: int = MAX_FRAME_BYTES) -> None:
        """`max_bytes`: the largest frame that is received."""
        sock.setblocking(False)
        self._socket = sock
        self._max_bytes = max_bytes
        self._sending = asyncio.Lock()
        self._received = bytearray()
        self._descriptors: deque[int] = deque()

    async def send(self, body: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a frame. Raises ConnectionError when the other end is closed or reads nothing, or FrameTooLarge.

        If the caller is canceled, a half-sent frame is still finished, because others follow on the same socket.
        """
        if len(body) > MAX_FRAME_BYTES:
            raise FrameTooLarge(len(body))
        await self._sending.acquire()
        rest = memoryview(LENGTH.pack(len(body)) + body)
        try:
            sent = self._send(rest, descriptors)
        except BaseException:
            self._sending.release()
            raise
        if sent == len(rest):
            self._sending.release()
            return
        finishing = asyncio.create_task(self._finish(rest[sent:], () if sent else descriptors))
        finishing.add_done_callback(self._finished)
        await asyncio.shield(finishing)

    def _send(self, rest: memoryview, descriptors: Sequence[int]) -> int:
        try:
            return socket.send_fds(self._socket, [rest], list(descriptors))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionError(str(error)) from error

    async def _finish(self, rest: memoryview, descriptors: Sequence[int]) -> None:
        try:
            while rest:
                await self._writable()
                sent = self._send(rest, descriptors)
                rest, descriptors = rest[sent:], () if sent else descriptors
        except ConnectionError:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # after a half-sent frame, nothing can follow
            raise

    def _finished(self, finishing: "asyncio.Task[None]") -> None:
        self._sending.release()
        if not finishing.cancelled():
            finishing.exception()  # already raised in the caller, if there still is one

    async def receive(self) -> bytes | None:
        """The next frame's body. None when the other end is closed. Raises FrameTooLarge."""
        while (body := self._next()) is None:
            try:
                part, descriptors, _, _ = socket.recv_fds(
                    self._socket, READ_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                await self._readable()
                continue
            except OSError:
                return None
            self._descriptors.extend(descriptors)
            if not part:
                return None
            self._received += part
            await asyncio.sleep(0)  # otherwise a socket with more to read would block all others
        return body

    def take_descriptor(self) -> int | None:
        """The next received descriptor, in the order of the frames. The caller must close it."""
        return self._descriptors.popleft() if self._descriptors else None

    def close(self) -> None:
        """Close the socket. No task may be receiving."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _next(self) -> bytes | None:
        if len(self._received) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(self._received)
        if size > self._max_bytes:
            raise FrameTooLarge(size, self._max_bytes)
        end = LENGTH.size + size
        if len(self._received) < end:
            return None
        body = bytes(memoryview(self._received)[LENGTH.size : end])
        del self._received[:end]
        return body

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._socket, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._socket)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(self._socket, _set, ready)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await ready
        except TimeoutError as error:
            raise ConnectionError("the other end reads nothing") from error
        finally:
            loop.remove_writer(self._socket)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)

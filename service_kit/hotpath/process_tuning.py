"""Tunes CPython and glibc for a serving process: memory goes back to the system, the collector waits.

Measured with CPython 3.11 and glibc 2.36. To remove it, drop the calls: they affect nothing but speed and memory.
"""

import asyncio
import ctypes
import gc
import time

_libc = ctypes.CDLL(None)
GLIBC = _libc if hasattr(_libc, "mallopt") and hasattr(_libc, "malloc_trim") else None
M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD_BYTES = 512 << 10
"""Blocks of this size are mapped one by one and given back when freed. By default glibc raises its threshold to the
largest block it has seen, and a process keeps what its largest document took."""
TRIM_SECONDS = 1.0

_trim_due = 0.0


def tune(*, gc_threshold: int) -> None:
    """Call this once what a process imports and builds at its start is there.

    `gc_threshold` is how many new objects the collector waits for. With Python's own 700, thousands of connections that
    arrive at once are walked through for up to a quarter of a second, so a gateway waits for many. Each RPC that
    grpc.aio serves leaves seven objects that only the collector finds: a service that waits for 50,000 reads 10 %
    slower, as they no longer stay in the processor's cache.
    """
    if GLIBC is not None:
        GLIBC.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(gc_threshold)


def trim_heap() -> None:
    """Give free blocks back to the system; takes less than a millisecond, while other threads go on.

    gRPC reads a large message into blocks of 64 KB in any of its threads, and glibc keeps free ones for each thread: a
    process that received 5 MB again and again grew by 50 MB, and grows by 30 with this.
    """
    if GLIBC is not None:
        GLIBC.malloc_trim(0)


def trim_heap_soon() -> None:
    """The same in a second, when gRPC has freed what a refused call had sent; once for all calls until then."""
    global _trim_due
    now = time.monotonic()
    if now >= _trim_due:
        _trim_due = now + TRIM_SECONDS
        asyncio.get_running_loop().call_later(TRIM_SECONDS, trim_heap)

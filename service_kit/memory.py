"""How a process here uses memory: what a large document took goes back to the system, and the garbage collector skips
what lives as long as the process."""

import ctypes
import gc

_libc = ctypes.CDLL(None)
GLIBC = _libc if hasattr(_libc, "mallopt") and hasattr(_libc, "malloc_trim") else None
M_MMAP_THRESHOLD = -3
LARGE = 512 << 10
"""Blocks of this many bytes are mapped one by one and given back when freed. Left alone, glibc raises its threshold to
the largest block it has seen, and a process keeps what its largest document took."""


def prepare(*, young: int) -> None:
    """To be called once what a process imports and builds at its start is there.

    `young` is how many new objects the collector waits for. Thousands of connections that come at once are walked
    through each time, for up to a quarter of a second with Python's own 700, so a gateway waits for many. Each RPC that
    grpc.aio serves leaves seven objects that only the collector finds, which is megabytes that no longer stay in the
    processor's cache before there are many: a service that waited for 50,000 would read 10 % slower.
    """
    if GLIBC is not None:
        GLIBC.mallopt(M_MMAP_THRESHOLD, LARGE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(young)


def give_back() -> None:
    """Give free blocks back to the system, smaller ones too; takes less than a millisecond, while others go on.

    gRPC reads a large message into blocks of 64 KB, in whichever of its threads comes by, and glibc keeps free ones for
    each thread: a process that was sent 5 MB again and again grew by 50 MB, and grows by 30 so.
    """
    if GLIBC is not None:
        GLIBC.malloc_trim(0)

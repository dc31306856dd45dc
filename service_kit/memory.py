"""How a process here uses memory: what a large document took goes back to the system, and the garbage collector skips
what lives as long as the process."""

import ctypes
import gc

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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(young)

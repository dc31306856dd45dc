"""How a process here uses memory: what a large document took goes back to the system, and the garbage collector skips
what lives as long as the process."""

import ctypes
import gc

M_MMAP_THRESHOLD = -3
LARGE = 512 << 10
"""Blocks of this many bytes are mapped one by one and given back when freed. Left alone, glibc raises its threshold to
the largest block it has seen, and a process keeps what its largest document took."""


def prepare() -> None:
    """To be called once what a process imports and builds at its start is there."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
    gc.collect()
    gc.freeze()
    # With the default, 700, a thousand connections that come at once are walked through again and again, for a quarter of
    # a second a time. Each RPC that grpc.aio serves leaves seven objects that only the collector finds: many more than
    # this of them are megabytes that no longer stay in the processor's cache, some 10 % of a read.
    gc.set_threshold(10_000)

"""Folders of replicas."""

import os
from pathlib import Path

BLOCK_BYTES = 512
LEAST_BYTES = 4096
"""What an empty file counts as: it takes an inode."""


def used_bytes(folder: Path) -> int:
    """What is in it takes this much of the disk."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            try:
                total += max(LEAST_BYTES, (Path(parent) / name).lstat().st_blocks * BLOCK_BYTES)
            except OSError:
                continue
    return total

"""Folders of replicas: who may pass through them, and how much is in them."""

import os
from pathlib import Path

BLOCK_BYTES = 512
LEAST_BYTES = 4096
"""What an empty file counts as: it takes an inode."""


def closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to `path`, itself included, that other users may not pass through."""
    for folder in [*reversed(path.resolve().parents), path.resolve()]:
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None


def used_bytes(folder: Path) -> int:
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            try:
                total += max(LEAST_BYTES, (Path(parent) / name).lstat().st_blocks * BLOCK_BYTES)
            except OSError:
                continue
    return total

"""Folders of replicas and runtimes."""

import json
import os
from pathlib import Path

BLOCK_BYTES = 512
LEAST_BYTES = 4096
"""Bytes that are counted for an empty file, because it uses an inode."""


MANIFEST = "flowpin-runtime.json"
"""File in which `flowpin runtime install` describes a runtime."""


def installed_lock(runtime: Path) -> str | None:
    """The hex digest of the lock that a runtime was installed from. Empty if it is not recorded. None if the runtime
    does not exist."""
    if not (runtime / "bin" / "python").exists():
        return None
    try:
        return str(json.loads((runtime / MANIFEST).read_text())["lock_digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def used_bytes(folder: Path) -> int:
    """Disk space used by the folder's content."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            try:
                total += max(LEAST_BYTES, (Path(parent) / name).lstat().st_blocks * BLOCK_BYTES)
            except OSError:
                continue
    return total

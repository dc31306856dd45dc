"""The settings of the host process as a plain value. `__main__` reads them."""

from dataclasses import dataclass
from pathlib import Path

FREE_USERS = range(1_879_048_192, 2_147_483_648)
"""User ids that no convention uses (systemd's UIDS-GIDS)."""
MAX_PROJECTS = 4096
"""Users that one host gives out."""


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    socket: Path
    """Where routers connect, in a folder that only this user may enter (it is made if it is not there)."""
    folder: Path
    """For replicas' temporary folders, the list of processes and logs of imports. As root, a folder that every user
    may pass through, as each project's replicas have a user of their own."""
    preload: Path | None = None
    """A runtime's folder whose SDK is imported at the start."""
    max_replicas: int = 200
    memory_bytes: int = 1 << 30
    """Private memory of a replica, beside what it shares with its zygote."""
    folder_bytes: int = 1 << 30
    """Size of a replica's temporary folder; one file may have a quarter of it."""
    files: int = 1024
    """Open files of a replica."""
    processes: int = 512
    """Processes and threads of a project's user, where replicas have one."""
    import_seconds: float = 240
    """How long a runtime may take to import the SDK: 20 s on an idle machine."""
    twin_seconds: float = 10
    """How long a twin of the process that has imported a runtime may take. It is tried again after as long."""
    runtime_idle_seconds: float = 600
    """How long a runtime without replicas stays imported, unless it is the one of `preload`."""
    lock_seconds: float = 5
    """How long a predecessor in the same folder may take to end."""
    fork_seconds: float = 5
    """How long a zygote may take to fork a replica; then it is replaced."""
    load_seconds: float = 30
    """How long a replica may take to load its flow."""
    stuck_seconds: float = 6
    """How long a canceled run may go on when no router is there to have its replica killed."""

    @property
    def limits(self) -> dict[str, int]:
        """As the worker's `confine` takes them."""
        return {
            "memory_bytes": self.memory_bytes,
            "file_bytes": self.folder_bytes // 4,
            "files": self.files,
            "processes": self.processes,
        }

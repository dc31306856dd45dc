"""The settings of the host process as a plain value. `__main__` reads them."""

from dataclasses import dataclass
from pathlib import Path

FREE_USERS = range(1_879_048_192, 2_147_483_648)
"""The first of a range of user ids that no convention uses (see UIDS-GIDS of systemd)."""
MAX_PROJECTS = 4096
"""Maximum users that one host assigns."""


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    socket: Path
    """The socket for routers, in a folder that only this user may enter. The folder is created if it is missing."""
    folder: Path
    """Folder for replicas' temporary folders, the list of processes and logs of imports. If the host runs as root, all
    users must be able to pass through it, because each project's replicas run as a separate user."""
    preload: Path | None = None
    """The folder of a runtime whose SDK is imported at the start."""
    max_replicas: int = 200
    memory_bytes: int = 1 << 30
    """Limit of a replica's private memory, without the memory that it shares with its zygote."""
    folder_bytes: int = 1 << 30
    """Limit of a replica's temporary folder. One file may have a quarter of it."""
    files: int = 1024
    """Maximum open files of a replica."""
    processes: int = 512
    """Maximum processes and threads of a project's user, if projects have users."""
    import_seconds: float = 240
    """How long a runtime may take to import the SDK. It takes 20 s on an idle machine."""
    twin_seconds: float = 10
    """How long the fork of a zygote's twin may take. After a failure, the next try follows after the same time."""
    runtime_idle_seconds: float = 600
    """How long a runtime without replicas stays imported, except that of `preload`."""
    lock_seconds: float = 5
    """How long an earlier host in the same folder may take to end."""
    fork_seconds: float = 5
    """How long a zygote may take to fork a replica. After that it is replaced."""
    load_seconds: float = 30
    """How long a replica may take to load its flow."""
    stuck_seconds: float = 6
    """How long a canceled run may continue if its router has ended. Otherwise the router has the replica killed."""

    @property
    def limits(self) -> dict[str, int]:
        """The limits in the form of the worker's `confine`."""
        return {
            "memory_bytes": self.memory_bytes,
            "file_bytes": self.folder_bytes // 4,
            "files": self.files,
            "processes": self.processes,
        }

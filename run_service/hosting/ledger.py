"""Records the processes that a host started in a file, so that its successor can end those that remain.

Processes are identified by id, start time and session, because one that is not dumpable hides its environment.
"""

import json
from pathlib import Path

import structlog

from run_service.hosting import processes

log = structlog.get_logger()


class Ledger:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[int, processes.Stat] = {}

    def add(self, pid: int) -> None:
        """Record a process. Call this before the process receives anything, so that each process that runs a flow is
        known."""
        if (found := processes.stat(pid)) is not None:
            self._entries[pid] = found
            self._write()

    def remove(self, pid: int) -> None:
        if self._entries.pop(pid, None) is not None:
            self._write()

    def started(self, pid: int) -> int:
        entry = self._entries.get(pid)
        return entry.started if entry is not None else 0

    def end_leftovers(self) -> None:
        """Kill processes that an earlier host left running."""
        ended = [entry for entry in self._read() if _end(entry)]
        if ended:
            log.warning("leftovers_ended", sessions=len({entry.session for entry in ended}))
        self._write()

    def _write(self) -> None:
        lines = {"boot": processes.boot_id(), "processes": [entry._asdict() for entry in self._entries.values()]}
        fresh = self._path.with_suffix(".fresh")
        fresh.write_text(json.dumps(lines))
        fresh.replace(self._path)

    def _read(self) -> list[processes.Stat]:
        try:
            written = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return (
            [processes.Stat(**entry) for entry in written["processes"]]
            if written["boot"] == processes.boot_id()
            else []
        )


def _end(entry: processes.Stat) -> bool:
    """Kill the session of a recorded process. Returns whether a process of it was still running."""
    leader = processes.stat(entry.session)
    if leader is not None and entry.pid == entry.session and leader.started != entry.started:
        return False  # another process has this id now
    if not any(True for _ in processes.members(entry.session)):
        return False
    processes.kill_session(entry.session, since=entry.started)
    return True

"""The replicas of the host process."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from run_service.hosting import processes
from run_service.hosting.folders import installed_lock, used_bytes
from run_service.hosting.ledger import Ledger
from run_service.hosting.model import HOST_FULL, Replica, ReplicaEnded, ReplicaFailed, ReplicaSpec, ReplicaUsage
from run_service.hosting.replicas import HostedReplica
from run_service.hosting.settings import FREE_USERS, MAX_PROJECTS, HostSettings
from run_service.hosting.zygotes import Runtime
from run_service.worker import confinement

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""Seconds between two checks of memory and disk usage."""


class Host:
    """Starts, watches and ends replicas."""

    def __init__(
        self,
        settings: HostSettings,
        ledger: Ledger,
        tasks: asyncio.TaskGroup,
        tell: Callable[[ReplicaEnded], None],
    ) -> None:
        self._settings, self._ledger, self._tasks, self._tell = settings, ledger, tasks, tell
        self._runtimes: dict[Path, Runtime] = {}
        self._replicas: dict[str, HostedReplica] = {}
        self._ready: set[str] = set()
        self._by_pid: dict[int, HostedReplica] = {}
        self._users: dict[str, int] = {}
        # Two installations on one machine must not share users.
        self._first_user = random.SystemRandom().choice(FREE_USERS[::MAX_PROJECTS])
        self._ending = False

    async def start(self, replica_id: str, spec: ReplicaSpec) -> Replica:
        """Raises ReplicaFailed."""
        if (reason := confinement.missing()) is not None:
            raise ReplicaFailed("NOT_CONFINED", reason)
        if self._ending or len(self._replicas) >= self._settings.max_replicas:
            why = "it is ending" if self._ending else f"it runs {self._settings.max_replicas} replicas, its limit"
            raise ReplicaFailed(HOST_FULL, f"The host process cannot start another replica: {why}.")
        user = self._user(spec.project_id)
        runtime = self._runtime(spec.runtime, spec.runtime_digest)
        folder = self._settings.folder / "replicas" / replica_id
        replica = self._replicas[replica_id] = HostedReplica(replica_id, spec, folder, user, self._ledger)
        started = time.monotonic()
        try:
            await replica.start(runtime, self._settings, self._register)
        except BaseException as error:
            await asyncio.shield(self._tasks.create_task(self._give_up(replica, str(error))))
            raise
        self._ready.add(replica_id)
        self._tasks.create_task(replica.listen())
        milliseconds = round((time.monotonic() - started) * 1000)
        log.info("replica_started", replica=replica_id, deployment=spec.deployment_id, pid=replica.pid, ms=milliseconds)
        return replica.replica

    async def preload(self, runtime: Path) -> None:
        """Import a runtime's SDK, so that its first replica does not wait for the import."""
        if confinement.missing() is None:
            await self._runtime(runtime, "").preload()

    async def connect(self, replica_id: str, descriptor: int) -> None:
        """Raises ReplicaFailed."""
        if replica_id in self._ready:
            try:
                return await self._replicas[replica_id].connect(descriptor)
            except ConnectionError:
                pass
        raise ReplicaFailed("REPLICA_GONE", "The replica is not running.")

    async def stop(self, replica_id: str, grace_seconds: float) -> None:
        if (replica := self._replicas.get(replica_id)) is not None:
            await replica.stop(grace_seconds)

    async def kill(self, replica_id: str, message: str) -> None:
        if (replica := self._replicas.get(replica_id)) is not None:
            await replica.kill("RUN_STUCK", message)

    def list(self) -> list[Replica]:
        return [self._replicas[replica_id].replica for replica_id in self._ready]

    def usage(self) -> dict[str, ReplicaUsage]:
        return {replica_id: self._replicas[replica_id].usage for replica_id in self._ready}

    def reap(self) -> None:
        """Reap all children that ended: replicas, zygotes, and processes that replicas left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (replica := self._by_pid.pop(pid, None)) is not None:
                self._exited(replica, status)
            else:
                self._ledger.remove(pid)

    async def look(self) -> None:
        """End replicas that exceed a limit, and zygotes that are not needed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            used = {replica.runtime for replica in self._replicas.values()}
            for path, runtime in self._runtimes.items():
                runtime.look(is_used=path in used, idle_seconds=self._settings.runtime_idle_seconds)
            for replica in [self._replicas[replica_id] for replica_id in self._ready]:
                if replica.usage.grown_bytes > self._settings.memory_bytes:
                    await replica.kill("MEMORY_EXCEEDED", "The replica exceeded its memory limit.")
                size = await asyncio.to_thread(used_bytes, replica.folder)
                if size > self._settings.folder_bytes:
                    await replica.kill("FOLDER_TOO_LARGE", "The replica exceeded the size limit of its folder.")

    async def end(self) -> None:
        """End all replicas, then the zygotes."""
        self._ending = True
        await asyncio.gather(*(replica.stop(0) for replica in list(self._replicas.values())))
        for runtime in self._runtimes.values():
            runtime.end()

    def _register(self, replica: HostedReplica) -> None:
        self._by_pid[replica.pid] = replica
        if processes.stat(replica.pid) is None:  # it was reaped before its id was known
            del self._by_pid[replica.pid]
            self._exited(replica, signal.SIGKILL)

    def _exited(self, replica: HostedReplica, status: int) -> None:
        replica.exited.set()
        self._tasks.create_task(self._bury(replica, status))

    async def _bury(self, replica: HostedReplica, status: int) -> None:
        ended = await replica.clean_up(status)
        self._replicas.pop(replica.id, None)
        if replica.id in self._ready:
            self._ready.remove(replica.id)
            log.info("replica_ended", replica=replica.id, reason=ended.reason, status=status)
            self._tell(ended)

    async def _give_up(self, replica: HostedReplica, why: str) -> None:
        """Clean up after a replica that did not start."""
        if replica.pid:
            await replica.kill("START_FAILED", why)
        else:
            await replica.remove_folder()
            self._replicas.pop(replica.id, None)
        replica.close()

    def _runtime(self, path: Path, pinned: str) -> Runtime:
        """Raises ReplicaFailed if a lock is pinned and the runtime was installed from another one."""
        installed = installed_lock(path)
        if installed is not None and pinned and installed != pinned:
            raise ReplicaFailed("RUNTIME_DIFFERS", _differs(path.name, installed, pinned))
        if path not in self._runtimes:
            settings = self._settings
            self._runtimes[path] = Runtime(
                path, settings.folder, self._ledger, self._tasks, settings.import_seconds, settings.twin_seconds
            )
        return self._runtimes[path]

    def _user(self, project_id: str) -> int | None:
        """The project's own user id, if the host runs as root. Each host process assigns ids from the start."""
        if os.geteuid() != 0:
            return None
        if project_id not in self._users and len(self._users) >= MAX_PROJECTS:
            raise ReplicaFailed("TOO_MANY_PROJECTS", f"The host process serves {MAX_PROJECTS} projects, its limit.")
        return self._users.setdefault(project_id, self._first_user + len(self._users))


def _differs(version: str, installed: str, pinned: str) -> str:
    return (
        f"The runtime {version} that is installed has {_lock(installed)}, and the deployment pins {_lock(pinned)}. "
        f"Install the pinned one (`flowpin runtime remove {version}`, then `flowpin runtime install {version} "
        f"--registered sha256:{pinned}`), or deploy the version anew: that pins the lock that is registered now."
    )


def _lock(digest: str) -> str:
    return f"the lock {digest[:12]}…" if digest else "no lock"

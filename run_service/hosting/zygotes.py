"""Keeps two zygotes per runtime: processes that have imported its SDK. One of them forks replicas for the host."""

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path

import structlog

from run_service.hosting.channel import Channel
from run_service.hosting.ledger import Ledger
from run_service.hosting.model import ReplicaFailed
from run_service.hosting.zygote import Identity, Zygote, decoder, identity_of
from run_service.worker.zygote import bootstrap

log = structlog.get_logger()

MOST_FAILED_TWINS = 5
"""Maximum number of failures in a row before the zygote is replaced."""
FORKS_AT_ONCE = 4
"""Maximum concurrent forks. It is low, so that a fork that takes long means that the zygote hangs."""
LOG_LINES = 5
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # without this, it calls GitHub during its import
}


class Runtime:
    """The zygotes of one runtime. They are started when they are first needed."""

    def __init__(
        self,
        path: Path,
        folder: Path,
        ledger: Ledger,
        tasks: asyncio.TaskGroup,
        import_seconds: float,
        twin_seconds: float,
    ) -> None:
        self._path, self._folder, self._ledger, self._tasks = path, folder, ledger, tasks
        self._import_seconds, self._twin_seconds = import_seconds, twin_seconds
        self._zygotes: list[Zygote] = []
        self._importing: asyncio.Task[ReplicaFailed | None] | None = None
        self._twinning = False
        self._failed_twins = 0
        self._ended = False
        self._identity: Identity | None = None
        """Identity of the folder whose SDK the zygotes have imported."""
        self._generation = 0
        """Increases when the zygotes are ended, so that one of their twins that becomes ready later is ended too."""
        self._used_at = time.monotonic()
        self._is_preloaded = False
        self.forking = asyncio.Semaphore(FORKS_AT_ONCE)

    async def fork(self, control: int) -> Zygote:
        """Let a zygote fork a replica with the control socket `control`. Raises ReplicaFailed."""
        while True:
            self._used_at = time.monotonic()
            self._check_folder()
            for zygote in list(self._zygotes):
                try:
                    await zygote.channel.send(b'{"type":"fork"}', [control])
                except ConnectionError:
                    self.discard(zygote)
                else:
                    return zygote
            await self._imported()

    async def preload(self) -> None:
        """Import the SDK before a replica needs it, and keep it imported while no replica uses it.

        A failure is only logged here. The next start of a replica reports it.
        """
        self._is_preloaded = True
        try:
            await self._imported()
        except ReplicaFailed as error:
            log.warning("runtime_not_preloaded", runtime=self._path.name, error=error.message)

    def discard(self, zygote: Zygote) -> None:
        """End a zygote that does not answer."""
        if zygote in self._zygotes:
            self._zygotes.remove(zygote)
            zygote.kill()
            self._ensure_twin()

    def look(self, *, is_used: bool, idle_seconds: float) -> None:
        """End zygotes whose folder was removed or replaced, or that were unused for `idle_seconds`."""
        now = time.monotonic()
        if is_used:
            self._used_at = now
        if self._check_folder() and self._is_preloaded and identity_of(self._path) is not None:
            self._tasks.create_task(self.preload())
        if not self._is_preloaded and now - self._used_at > idle_seconds:
            self._end_zygotes("nothing has used it")

    def end(self) -> None:
        self._ended = True
        if self._importing is not None:
            self._importing.cancel()
        for zygote in list(self._zygotes):
            zygote.kill()

    def _check_folder(self) -> bool:
        """End the zygotes if their folder was removed or replaced. Returns whether zygotes were ended."""
        if not self._zygotes or identity_of(self._path) == self._identity:
            return False
        self._end_zygotes("its folder was removed or made anew")
        return True

    def _end_zygotes(self, why: str) -> None:
        """End the zygotes. Their replicas continue."""
        if self._zygotes:
            log.info("zygotes_ended", runtime=self._path.name, reason=why)
        zygotes, self._zygotes = self._zygotes, []
        self._generation += 1
        for zygote in zygotes:
            zygote.kill()

    async def _imported(self) -> None:
        """Wait for the import. All callers share it, and it continues when they leave."""
        if self._importing is None or self._importing.done():
            self._importing = self._tasks.create_task(self._import())
        if (failure := await asyncio.shield(self._importing)) is not None:
            raise ReplicaFailed(failure.reason, failure.message)

    async def _import(self) -> ReplicaFailed | None:
        python = self._path / "bin" / "python"
        if not python.exists():
            return ReplicaFailed("RUNTIME_NOT_INSTALLED", f"The runtime {self._path.name} is not installed.")
        started = asyncio.get_running_loop().time()
        identity = identity_of(self._path)
        output = self._folder / f"import-{self._path.name}.log"
        ours, theirs = socket.socketpair()
        home = self._folder / "import-home"
        home.mkdir(exist_ok=True)
        with theirs, output.open("wb") as file:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - the kernel ends it with this thread
                    [str(python), *bootstrap(os.getpid(), theirs.fileno())],
                    env=ENVIRONMENT | {"HOME": str(home), "TMPDIR": str(home)},
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as error:
                ours.close()
                return ReplicaFailed("RUNTIME_BROKEN", f"The Python of {self._path.name} does not start: {error}.")
        process.returncode = 0  # the host reaps all its children, so this object must not wait for the process
        self._ledger.add(process.pid)
        zygote = Zygote(process.pid, Channel(ours))
        try:
            failure = await self._until_ready(zygote, self._import_seconds)
        except BaseException:
            zygote.kill()
            zygote.channel.close()
            raise
        if failure is not None:
            tail = output.read_text(errors="replace").splitlines()[-LOG_LINES:]
            zygote.kill()
            zygote.channel.close()
            log.error("runtime_broken", runtime=self._path.name, error=failure, output=tail)
            said = failure if tail == [] or failure != "it ended" else f"it ended: {tail[-1]}"
            return ReplicaFailed("RUNTIME_BROKEN", f"The runtime {self._path.name} cannot import the SDK: {said}.")
        log.info(
            "runtime_imported",
            runtime=self._path.name,
            seconds=round(asyncio.get_running_loop().time() - started, 1),
        )
        self._identity = identity
        self._keep(zygote)
        return None

    async def _until_ready(self, zygote: Zygote, seconds: float) -> str | None:
        try:
            async with asyncio.timeout(seconds):
                body = await zygote.channel.receive()
        except TimeoutError:
            return f"it took longer than {seconds:g} s"
        if body is None:
            return "it ended"
        said = decoder.decode(body)
        zygote.pid = said.pid or zygote.pid
        return None if said.type == "ready" else said.message

    def _keep(self, zygote: Zygote) -> None:
        if self._ended:
            zygote.kill()
            zygote.channel.close()
            return
        self._zygotes.append(zygote)
        self._tasks.create_task(self._watch(zygote))
        self._ensure_twin()

    async def _watch(self, zygote: Zygote) -> None:
        """Wait until a zygote closes its socket, which means that it has ended."""
        try:
            await zygote.channel.receive()
        finally:
            if zygote in self._zygotes:
                log.warning("zygote_ended", runtime=self._path.name, pid=zygote.pid)
            self.discard(zygote)
            zygote.channel.close()

    def _ensure_twin(self) -> None:
        if len(self._zygotes) == 1 and not self._twinning and not self._ended:
            self._twinning = True
            self._tasks.create_task(self._twin(self._zygotes[0]))

    async def _twin(self, zygote: Zygote) -> None:
        ours, theirs = socket.socketpair()
        twin, generation = Zygote(0, Channel(ours)), self._generation
        try:
            with theirs:
                await zygote.channel.send(b'{"type":"twin"}', [theirs.fileno()])
            failure = await self._until_ready(twin, self._twin_seconds)
        except ConnectionError as error:
            failure = str(error)
            self.discard(zygote)
        finally:
            self._twinning = False
        if failure is not None:
            twin.channel.close()
            if zygote in self._zygotes:
                await self._twin_failed(zygote, failure)
            return
        self._failed_twins = 0
        self._ledger.add(twin.pid)
        if generation != self._generation:
            twin.kill()
            twin.channel.close()
            return
        self._keep(twin)

    async def _twin_failed(self, zygote: Zygote, failure: str) -> None:
        """On a busy machine a fork can be late, so the zygote is replaced only after several failures."""
        self._failed_twins += 1
        log.warning("twin_not_forked", runtime=self._path.name, error=failure, times=self._failed_twins)
        if self._failed_twins == MOST_FAILED_TWINS:
            self._failed_twins = 0
            self.discard(zygote)
            return
        await asyncio.sleep(self._twin_seconds)
        self._ensure_twin()

"""The workflow service as a process, without the garbage collector, and its CPU and memory."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import Stack

WITHOUT_COLLECTOR = """
import gc, runpy
gc.disable()
runpy.run_module("workflow_service", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class ServiceProcess:
    process: asyncio.subprocess.Process
    port: int
    log: Path

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def log_bytes(self) -> int:
        return self.log.stat().st_size

    def calls(self) -> list[dict[str, str]]:
        """The log's lines about RPCs."""
        lines = (json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{"))
        return [line for line in lines if line["event"] == "rpc_handled"]


@asynccontextmanager
async def workflow_service_process(stack: Stack, folder: Path) -> AsyncIterator[ServiceProcess]:
    """`python -m workflow_service serve` on the stack's schema, killed at the end."""
    environment = {
        "WORKFLOW_LISTEN": "127.0.0.1:0",
        "WORKFLOW_DATABASE_URL": stack.urls["flowpin_workflow"],
        "WORKFLOW_ACCESS_FILE": str(stack.people.path),
        "WORKFLOW_LOG_FORMAT": "json",
    }
    log = folder / "workflow_service.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WITHOUT_COLLECTOR, "serve", env={**os.environ, **environment}, stderr=output
        )
    try:
        yield ServiceProcess(process, await _listening(process, log), log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, log: Path) -> int:
    async with asyncio.timeout(30):
        while (port := _port(log)) is None:
            assert process.returncode is None, "the service ended before it listened"
            await asyncio.sleep(0.05)
    return port


def _port(log: Path) -> int | None:
    for line in log.read_bytes().splitlines():
        if b'"listener_started"' in line:
            return int(json.loads(line)["address"].rpartition(":")[2])
    return None

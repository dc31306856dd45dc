"""Another person beside a load: their token, their calls, and the durations."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support import bystander
from tests.support.up_process import Up


def token_of_another(up: Up) -> str:
    """The token of a service account that may read."""
    options = {"--data": str(up.data), "--service": "bystander", "--role": "viewer"}
    options["--project"] = up.env["FLOWPIN_PROJECT_ID"]
    words = [word for option in options.items() for word in option]
    said = subprocess.check_output([sys.executable, "-m", "flowpin_cli", "token", "new", *words], text=True)
    return next(word for word in said.split() if word.startswith("dyn_pat_"))


@asynccontextmanager
async def calling(url: str, token: str, between: float = 0.01) -> AsyncIterator[list[float]]:
    """Repeat a GET, `between` seconds apart. The list has the milliseconds of each after the block has ended.

    A call that is not answered with 200 fails the block.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, bystander.__file__, url, token, str(between), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    took: list[float] = []
    try:
        yield took
    finally:
        out, _ = await process.communicate(b"")
        took += json.loads(out)


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]

"""What `flowpin up` says at the terminal: progress, and how to call what is running."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.status import Status


class Announcer:
    """Progress while the run starts, lines while it lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._step = ""

    def say(self, line: str) -> None:
        # A terminal or pipe that is gone (rich makes a SystemExit of the latter) must not end the run, nor its drain.
        with suppress(OSError, SystemExit):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Show that work goes on until the block ends."""
        with self._console.status("Starting …") as self._status:
            yield
        self._status = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name what is waited for, and say how long it took."""
        began, self._step = time.monotonic(), name
        self.progress("")
        yield
        self.say(f"  ✓ {name} ({time.monotonic() - began:.1f} s)")

    def progress(self, so_far: str) -> None:
        """How far the step is, on a terminal."""
        if self._status:
            self._status.update(f"{self._step} … {so_far}")

    def show(self, line: str) -> None:
        """What is being done, on a terminal."""
        if self._status:
            self._status.update(line)

    def ready(self, url: str, token: str, project_id: str, env_file: str) -> None:
        """What a person needs to make the first call."""
        curl = f'curl -H "Authorization: Bearer {token}" "{url}/v1/workflows?project_id={project_id}"'
        self.say(
            f"\nFlowpin is up. Ctrl-C stops it.\n\n"
            f"  URL      {url}\n  Token    {token}\n  Project  {project_id}\n\n"
            f"Try it:\n\n  {curl}\n\n"
            f"In another terminal: `source {env_file}` sets FLOWPIN_URL, FLOWPIN_TOKEN, FLOWPIN_PROJECT_ID and more; "
            f"`flowpin demo` plays the main job.\n"
        )

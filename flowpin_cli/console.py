"""Terminal output of `flowpin up`: progress, and how to call what is running."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.status import Status


class Announcer:
    """Shows progress during the start, and lines afterwards."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._step = ""

    def say(self, line: str) -> None:
        # A closed terminal or pipe must not end the run or its drain. For a closed pipe, rich raises SystemExit.
        with suppress(OSError, SystemExit):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether the output is a terminal. Other output may be a log that others read, so no token is printed to
        it."""
        return self._console.is_terminal

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Show that work is in progress until the block ends."""
        with self._console.status("Starting …") as self._status:
            yield
        self._status = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the current step, and then how long it took."""
        began, self._step = time.monotonic(), name
        self.progress("")
        yield
        self.say(f"  ✓ {name} ({time.monotonic() - began:.1f} s)")

    def progress(self, so_far: str) -> None:
        """Show the progress of the step on a terminal."""
        if self._status:
            self._status.update(f"{self._step} … {so_far}")

    def show(self, line: str) -> None:
        """Show the current work on a terminal."""
        if self._status:
            self._status.update(line)

    def ready(self, url: str, token: str, project_id: str, env_file: str, option: str, ca: str = "") -> None:
        """Print what a person needs for the first call. `option` selects this folder in commands.

        `ca` is the file of the authority that callers must trust. The token is shown only on a terminal; other output
        names its file.
        """
        is_seen = self.is_terminal
        shown = token if is_seen else "$FLOWPIN_TOKEN"
        trusted = f"--cacert {shlex.quote(ca)} " if ca else ""
        curl = f'curl {trusted}-H "Authorization: Bearer {shown}" "{url}/v1/workflows?project_id={project_id}"'
        self.say(
            f"\nFlowpin is up. Ctrl-C stops it.\n\n"
            f"  URL      {url}\n  Docs     {url}/docs\n"
            f"  Token    {token if is_seen else f'FLOWPIN_TOKEN in {env_file}'}\n  Project  {project_id}\n\n"
            f"Try it:\n\n  {curl}\n\n"
            f"In another terminal: `source {env_file}` sets FLOWPIN_URL, FLOWPIN_TOKEN, FLOWPIN_PROJECT_ID and more; "
            f"`flowpin demo{option}` plays the main job.\n"
        )

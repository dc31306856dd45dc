"""The official `dynamiq` command line, as in a shell that has sourced `<data>/env`."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # importing it takes three seconds on an idle machine


@dataclass(frozen=True)
class Ran:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its stdout. Notes and errors are in stderr."""
        return json.loads(self.stdout)

    @property
    def table(self) -> dict[str, str]:
        """Names by id, from `org list` and `project list`."""
        heading, *rows = (line.split(maxsplit=1) for line in self.stdout.splitlines())
        assert heading == ["ID", "Name"]
        return dict(rows)

    @property
    def fields(self) -> dict[str, str]:
        """The lines of `whoami`, by their labels."""
        return dict(line.split(":", 1) for line in self.stdout.splitlines())

    @property
    def error(self) -> str:
        """Its last line, without the log line before."""
        return self.stderr.strip().splitlines()[-1].removeprefix("Error: ")

    @property
    def http_error(self) -> tuple[int, dict[str, Any]]:
        """The status and the error that it received."""
        status, _, body = self.error.removeprefix("HTTP ").partition(": ")
        return int(status), json.loads(body)["error"]


class CommandLine:
    """Runs `dynamiq` with the variables of `<data>/env` and its own home folder."""

    def __init__(self, python: Path, env: Mapping[str, str], home: Path) -> None:
        self._program = python.with_name("dynamiq")
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DYNAMIQ_", "FLOWPIN_"))},
            **env,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
        }

    def run(self, *words: str, **changed: str | None) -> Ran:
        """Run it with changed variables. None removes a variable."""
        env = {name: value for name, value in (self._env | changed).items() if value is not None}
        done = subprocess.run([self._program, *words], env=env, capture_output=True, text=True, timeout=PATIENCE)
        return Ran(done.returncode, done.stdout, done.stderr)

    def done(self, *words: str, **changed: str | None) -> Ran:
        """Run a command that must exit with 0."""
        ran = self.run(*words, **changed)
        assert ran.code == 0, (words, ran.code, ran.stderr)
        assert "Failed to" not in ran.stdout, ran.stdout  # `org list` and `project list` print it and exit with 0
        return ran

    def refused(self, *words: str, **changed: str | None) -> Ran:
        """Run a command that must exit with 1 and say why."""
        ran = self.run(*words, **changed)
        assert ran.code == 1, (words, ran.code, ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr
        return ran

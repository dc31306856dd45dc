"""Runs docker-compose.yml without Docker: each service's command as a process, with its environment and order."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Replace variables as Compose does. Raises KeyError for a required variable that is not set."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        if env.get(name):
            return env[name]
        if operator == "-":
            return word
        raise KeyError(f"{name}: {word}")

    return VARIABLE.sub(value, text)


class Composed:
    """The file's services except Postgres, which the caller provides. `addresses` maps their addresses to this machine.

    Services with profiles run only with one of them.
    """

    def __init__(
        self, env: Mapping[str, str], addresses: Mapping[str, str], logs: Path, profiles: Collection[str] = ()
    ) -> None:
        self._profiles = set(profiles)
        self._env = env
        self._addresses = addresses
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._finished: set[str] = set()

    def up(self) -> "Composed":
        """Start each service once its dependencies meet their conditions."""
        waiting = {name: each for name, each in COMPOSE["services"].items() if name != "postgres" and self._is_on(each)}
        while waiting:
            able = [name for name, service in waiting.items() if all(map(self._holds, *self._dependencies(service)))]
            assert able, f"{sorted(waiting)} wait for each other"
            for name in able:
                self._start(name, waiting.pop(name))
        return self

    def _is_on(self, service: dict[str, Any]) -> bool:
        return "profiles" not in service or not self._profiles.isdisjoint(service["profiles"])

    def _holds(self, dependency: str, condition: str) -> bool:
        if dependency == "postgres":
            return condition == "service_healthy"
        if condition == "service_completed_successfully":
            return dependency in self._finished
        assert condition == "service_healthy"
        return dependency in self._running and self._is_healthy(dependency)

    def _start(self, name: str, service: dict[str, Any]) -> None:
        log = (self._logs / f"{name}.log").open("wb")
        process = subprocess.Popen(
            self._here(service["command"]),
            env=self._environment(service),
            cwd=self._logs,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if service.get("restart") == "no":
            assert process.wait(30) == 0, (self._logs / f"{name}.log").read_text()
            self._finished.add(name)
        else:
            self._running[name] = process
            self.wait_healthy(name)

    def wait_healthy(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while not self._is_healthy(name):
            assert self._running[name].poll() is None, (self._logs / f"{name}.log").read_text()
            assert time.monotonic() < deadline, (self._logs / f"{name}.log").read_text()

    def _is_healthy(self, name: str) -> bool:
        kind, *words = COMPOSE["services"][name]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(self._here(words), cwd=self._logs, capture_output=True).returncode == 0

    def _environment(self, service: dict[str, Any]) -> dict[str, str]:
        # A variable without a value is taken from Compose's own environment, if it is set there.
        given = {key: self._env.get(key) if value is None else value for key, value in service["environment"].items()}
        declared = {
            key: self._address(interpolate(str(value), self._env)) for key, value in given.items() if value is not None
        }
        return {"PATH": os.environ["PATH"], **declared}

    def _here(self, words: list[str]) -> list[str]:
        return [sys.executable if word == "python" else self._address(word) for word in words]

    def _address(self, text: str) -> str:
        for theirs, ours in self._addresses.items():
            text = text.replace(theirs, ours)
        return text

    def down(self) -> None:
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            assert process.wait(20) == 0, (self._logs / f"{name}.log").read_text()

    def _dependencies(self, service: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Names and conditions of dependencies, without optional ones of another profile."""
        depends_on = {
            name: each["condition"]
            for name, each in service["depends_on"].items()
            if each.get("required", True) or self._is_on(COMPOSE["services"][name])
        }
        return list(depends_on), list(depends_on.values())

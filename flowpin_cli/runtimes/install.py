"""`flowpin runtime install`: resolves a release of the SDK, installs it with uv, and tries to import it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uv

from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.runtimes.folder import LOCK, Runtime, Runtimes, digest_of

NEEDED_BYTES = 2 << 30
RESOLVE_SECONDS = 300.0
INSTALL_SECONDS = 1800.0
TRY_SECONDS = 300.0
TRY = "import dynamiq, sys; print(sys.version.split()[0])"
SDK = re.compile(r"^dynamiq==(\S+)$", re.MULTILINE)
ERROR_CHARACTERS = 2000


def install(runtimes: Runtimes, version: str, lock: str | None, python: str | None, announcer: Announcer) -> Runtime:
    """Install `version`, from a lock if one is given. A version that is already installed does not change.

    Raises CannotRun. Then it leaves no files behind.
    """
    with runtimes.locked():
        runtimes.remove_unfinished()
        kept = runtimes.find(version)
        if kept is not None:
            if lock is not None and digest_of(lock) != kept.lock_digest:
                raise CannotRun(
                    f"runtime {version} is installed from another lock; "
                    f"remove it first: flowpin runtime remove {version}"
                )
            return kept
        _check_room(runtimes.path)
        folder = runtimes.unfinished(version)
        try:
            runtime = _make(folder, version, lock, python or sys.executable, announcer)
            runtimes.finish(runtime)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return runtime


def _make(folder: Path, version: str, lock: str | None, python: str, announcer: Announcer) -> Runtime:
    with announcer.step("The packages it needs"):
        folder.mkdir(mode=0o755)
        file = folder / LOCK
        if lock is None:
            wanted = f"dynamiq=={version}" + (".*" if version.count(".") == 1 else "")
            plain = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
            _uv(
                ["pip", "compile", "--python", python, *plain, "--output-file", str(file), "-"], RESOLVE_SECONDS, wanted
            )
            lock = file.read_text()
        else:
            file.write_text(lock)
        found = SDK.search(lock)
        if found is None:
            raise CannotRun("the lock does not name dynamiq with its version")
    packages = len(lock.splitlines())
    with announcer.step(f"{packages} packages, downloaded and compiled"):
        _uv(["venv", "--python", python, "--relocatable", "--allow-existing", str(folder)], RESOLVE_SECONDS)
        into = ["--python", str(folder / "bin" / "python"), "--compile-bytecode", "--requirement", str(file)]
        _uv(["pip", "install", "--no-deps", *into], INSTALL_SECONDS)
    with announcer.step("A first import of the SDK"):
        used = _run(
            [str(folder / "bin" / "python"), "-I", "-c", TRY], TRY_SECONDS, "The SDK cannot be imported"
        ).strip()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Runtime(version, found[1], used, packages, digest_of(lock), now)


def _uv(words: Sequence[str], seconds: float, given: str = "") -> None:
    offline = "Is this machine offline? A runtime is downloaded from the package index that uv is set up for"
    _run([uv.find_uv_bin(), "--no-progress", *words], seconds, offline, given)


def _run(words: Sequence[str], seconds: float, on_failure: str, given: str = "") -> str:
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise CannotRun(f"`{' '.join(words[:3])} …` did not end within {seconds:.0f} s. {on_failure}.") from None
    if done.returncode:
        raise CannotRun(f"{done.stderr.strip()[-ERROR_CHARACTERS:]}\n{on_failure}. Nothing was installed.")
    return done.stdout


def _check_room(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < NEEDED_BYTES:
        raise CannotRun(f"{path} has {free >> 20} MiB free; a runtime takes up to {NEEDED_BYTES >> 20} MiB")

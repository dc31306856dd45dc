"""Peers are installed in separate environments, kept between runs, so their dependencies do not mix with ours."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.load.bench.result import Unmeasurable

FOLDER_VARIABLE = "FLOWPIN_PEERS_FOLDER"
INSTALL_SECONDS = 900.0


def folder() -> Path:
    """The folder of environments: FLOWPIN_PEERS_FOLDER, or the user's cache."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowpin-peers"


def installed(name: str, requirements: Sequence[str], say: Callable[[str], None]) -> Path:
    """The programs of an environment with exactly these packages. Raises Unmeasurable if one cannot be installed."""
    place = folder() / name
    complete, wanted = place / "complete", "\n".join([sys.version, *requirements])
    with _alone(name):
        if not complete.exists() or complete.read_text() != wanted:
            say(f"Installing {requirements[0]} in {place}")
            began = time.monotonic()
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(place)], "python3-venv is missing: apt install python3-venv")
            pip = [str(place / "bin/python"), "-m", "pip", "--no-input", "--disable-pip-version-check", "install"]
            _run([*pip, "--quiet", *requirements], f"pip install {' '.join(requirements)}")
            complete.write_text(wanted)
            say(f"Installed {requirements[0]} in {time.monotonic() - began:.0f} s")
    return place / "bin"


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Lock the installation, so concurrent runs install one after the other."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = (folder() / f"{name}.lock").open("w")
    except OSError as error:
        raise Unmeasurable(f"{folder()}: {error.strerror}; set {FOLDER_VARIABLE}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(words: Sequence[str], advice: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unmeasurable(f"{advice}: not done after {INSTALL_SECONDS:.0f} s") from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if not line.startswith("WARNING")]
        raise Unmeasurable(f"{advice}: {' '.join(said[-2:])[:300]}")

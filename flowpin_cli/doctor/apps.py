"""Checks whether apps can run on this machine: the installed runtimes, and whether the kernel can confine replicas."""

import os
from collections.abc import Iterator

from flowpin_cli.doctor.finding import Finding, ok, problem
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.runtimes.folder import Runtimes, runtimes_of
from run_service.worker import confinement


def examine(folder: DataFolder) -> Iterator[Finding]:
    runtimes = runtimes_of(folder.path, os.environ)
    try:
        installed = runtimes.all()
    except CannotRun as error:
        yield problem(
            f"A runtime is damaged: {error}", f"rm -r the runtime's folder in {runtimes.path}, then install it"
        )
        return
    if not installed:
        yield ok("No runtime is installed: apps are records (`flowpin runtime install` makes them run)")
        return
    for each in installed:
        yield _runtime(runtimes, each.version, f"dynamiq {each.sdk}, Python {each.python}")
    if (reason := confinement.missing()) is not None:
        yield problem(
            reason, "use Linux 6.2 or newer, with Landlock and seccomp, outside of a container that forbids them"
        )
    else:
        yield ok("The kernel confines replicas: Landlock and seccomp")


def _runtime(runtimes: Runtimes, version: str, holds: str) -> Finding:
    if not (runtimes.of(version) / "bin" / "python").exists():
        do = f"flowpin runtime remove {version}; flowpin runtime install {version}"
        return problem(f"Runtime {version} has lost its Python", do)
    return ok(f"Runtime {version}: {holds}")

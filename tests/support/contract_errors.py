"""Compares the errors that the contracts list with those that the services answered during the integration tests.

The services of these tests run in the tests' process. The guard logs each refusal with its RPC, code and reason; the
logger here records them. Each xdist worker sends its records to the controller, which compares and fails the run.
BatchService is left out: the guard does not see it.

A raised error must be listed, in any run. That every listed error is raised takes several runs: `--refusals=FILE`
collects their records in one file, and a run of plain `pytest` compares it.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from google.protobuf.descriptor import MethodDescriptor

from gateway.openapi.failures import Failure, of_keyed, read, shared, takes_key
from gateway.server import ALL_CONTRACTS
from service_kit import comments
from service_kit.pb.flowpin.routing.v1 import routing_pb2

INTEGRATION = Path(__file__).parents[1] / "integration"
RUN_APART = ("browser", "faults", "fuzz", "load", "sdk", "slow")
"""Marks of tests that plain `pytest` leaves out."""
OPTION = "--refusals"
RPCS: Mapping[str, MethodDescriptor] = {
    method.full_name: method
    for contract in (*ALL_CONTRACTS, routing_pb2.DESCRIPTOR)
    for service in contract.services_by_name.values()
    for method in service.methods
}


class Refusal(NamedTuple):
    rpc: str
    """Full name, package.Service.Method. For errors of every RPC, package.Service."""
    code: str
    reason: str


answered: dict[Refusal, str] = {}
"""Refusals by services in this process, with the first test that caused each."""


class RecordingLogger(structlog.make_filtering_bound_logger(0)):  # type: ignore[misc]
    """Logs as usual and records each refusal. It is not a processor, because `capture_logs` removes those."""

    def info(self, event: str, *args: Any, **fields: Any) -> Any:
        if event == "rpc_handled" and "reason" in fields:
            refusal = Refusal(fields["rpc"].strip("/").replace("/", "."), fields["code"], fields["reason"])
            answered.setdefault(refusal, os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0])
        return super().info(event, *args, **fields)


def unlisted(found: Mapping[Refusal, str]) -> Iterator[str]:
    """A line for each raised error that is not listed."""
    own, of_every_rpc = _listed()
    for refusal, test in sorted(found.items()):
        if refusal.rpc in RPCS and refusal not in own and _by_service(refusal) not in of_every_rpc:
            yield f"raised, but not listed: {' '.join(refusal)}, in {test}"


def unraised(found: Collection[Refusal]) -> Iterator[str]:
    """A line for each listed error that no test raised."""
    own, of_every_rpc = _listed()
    for refusal in sorted(own - set(found)):
        yield f"listed, but no test raises it: {' '.join(refusal)}"
    for refusal in sorted(of_every_rpc - {_by_service(each) for each in found}):
        yield f"listed for every RPC, but no test raises it: {' '.join(refusal)}"


def _listed() -> tuple[set[Refusal], set[Refusal]]:
    """The errors of single RPCs, and those that every RPC of a service may raise."""
    return (
        {refusal for rpc in RPCS.values() for refusal in _own(rpc)},
        {
            refusal
            for rpc in RPCS.values()
            for refusal in _refusals(_service(rpc.full_name), shared(rpc.containing_service))
        },
    )


def _own(rpc: MethodDescriptor) -> Iterator[Refusal]:
    """The errors in the RPC's comment, with those of idempotency keys if the RPC reads one."""
    yield from _refusals(rpc.full_name, read(comments.kept()[rpc.full_name]))
    if takes_key(rpc):
        yield from _refusals(rpc.full_name, of_keyed(rpc.containing_service))


def _refusals(name: str, failures: Collection[Failure]) -> Iterator[Refusal]:
    return (Refusal(name, failure.code.name, failure.reason) for failure in failures)


def _by_service(refusal: Refusal) -> Refusal:
    return refusal._replace(rpc=_service(refusal.rpc))


def _service(rpc: str) -> str:
    return rpc.rpartition(".")[0]


class ContractErrors:
    """A pytest plugin that compares after a passed run, and fails it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collected: set[Path] = set()
        self._is_part = bool(config.option.collectonly)
        self._is_whole = False
        self._complaints: list[str] = []
        structlog.configure(wrapper_class=RecordingLogger)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            if any(item.get_closest_marker(name) for name in RUN_APART):
                self._collected.add(item.path)
            elif item.path.is_relative_to(INTEGRATION):
                self._is_part = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected.update(item.path for item in session.items)
        self._is_whole = not self._is_part and self._collected >= set(INTEGRATION.glob("test_*.py"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Receive the records of an xdist worker."""
        sent = getattr(node, "workeroutput", {})
        self._is_whole |= sent.get("is_whole", False)
        answered.update({Refusal(*refusal): test for *refusal, test in sent.get("answered", [])})

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(self._config, "workeroutput"):
            kept = [[*refusal, test] for refusal, test in answered.items()]
            self._config.workeroutput.update(is_whole=self._is_whole, answered=kept)
            return
        self._complaints = list(unlisted(answered))
        if file := self._config.getoption(OPTION):
            kept = _kept(Path(file), answered)
            if self._is_whole:
                self._complaints += unraised(kept)
        if self._complaints and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._complaints:
            terminalreporter.section("the contracts' errors", red=True)
            for complaint in self._complaints:
                terminalreporter.line(complaint)


def _kept(file: Path, found: Iterable[Refusal]) -> set[Refusal]:
    """Add what was found to the file. Returns its whole content."""
    kept = set(map(Refusal._make, json.loads(file.read_text()))) if file.exists() else set()
    kept |= set(found)
    file.write_text(json.dumps(sorted(kept)))
    return kept

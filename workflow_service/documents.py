"""Processes flows and canvases. Work of a few milliseconds runs in this process, other work in a worker process."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from service_kit.access.caller import current_caller
from service_kit.documents import LARGE_DOCUMENT_BYTES, count_values
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.workers.pool import WorkerPool
from workflow_service.diff import nodes_changed_by_both, same_documents
from workflow_service.dynamiq_config.checks import may_have_secrets, problems_of, problems_of_saved, secrets_in_saved
from workflow_service.dynamiq_config.exporting import export_flow
from workflow_service.dynamiq_config.importing import import_content
from workflow_service.dynamiq_config.loadable import loadable_of
from workflow_service.dynamiq_config.problems import Problem
from workflow_service.flow import Content, digests_of
from workflow_service.messages import compared

MAX_QUICK_BYTES = 64 << 10
"""Maximum total bytes of the documents. The number of values does not limit the cost of integers of 4,300 digits; this
does."""
MAX_QUICK_VALUES_TO_CHECK = 10_000
MAX_QUICK_VALUES_TO_COMPARE = 10_000
MAX_QUICK_VALUES_TO_SEARCH = 1_000
MAX_QUICK_VALUES_TO_VALIDATE = 500
MAX_QUICK_VALUES_TO_EXPORT = 500
"""The worst input with this many values takes 5 to 10 ms on a machine of 2024. A flow of 5 KB has 250 values."""

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class Documents:
    """Runs the service's work on flows.

    Work in a worker process can also raise DocumentTooComplex, WorkerLost or TooManyRequests.
    """

    def __init__(self, workers: WorkerPool, max_flow_bytes: int) -> None:
        self._workers = workers
        self._limit = max_flow_bytes

    async def check(self, flow: bytes, flow_ui: bytes) -> Content:
        """Run the light check before content is stored. Raises FlowTooLarge or InvalidFlow."""
        is_quick = _is_quick(MAX_QUICK_VALUES_TO_CHECK, flow, flow_ui, most_bytes=LARGE_DOCUMENT_BYTES)
        return Content(flow, flow_ui, *await self._run(is_quick, digests_of, flow, flow_ui, self._limit))

    async def validate(self, flow: bytes) -> list[Problem]:
        """The problems of a flow: errors, for which the SDK would refuse it, and warnings. Raises FlowTooLarge or
        InvalidFlow."""
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_VALIDATE, flow), problems_of, flow, self._limit)

    async def validate_saved(self, flow: bytes) -> list[Problem]:
        """The problems of a saved flow."""
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_VALIDATE, flow), problems_of_saved, flow)

    async def secrets_in(self, flow: bytes) -> list[Problem]:
        """Warnings of possible secrets in a flow that passed the light check."""
        if not await self._run(_is_quick(MAX_QUICK_VALUES_TO_SEARCH, flow), may_have_secrets, flow):
            return []
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_VALIDATE, flow), secrets_in_saved, flow)

    async def export(self, flow: bytes, version: int | None = None) -> bytes:
        """The flow as a ZIP for the SDK. Raises FlowTooLarge or InvalidFlow."""
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_EXPORT, flow), export_flow, flow, self._limit, version)

    async def loadable(self, flow: bytes) -> bytes | None:
        """The document that a replica loads for a saved flow. None if the SDK cannot load it."""
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_EXPORT, flow), loadable_of, flow)

    async def import_config(self, config: str, workflow: str | None) -> tuple[Content, list[Problem]]:
        """The content from a config.yaml, and warnings. Raises FlowTooLarge, InvalidFlow or an error of `importing`."""
        return await self._run(False, import_content, config, workflow, self._limit)

    async def compare(self, before: Content, after: Content) -> pb.DiffVersionsResponse:
        documents = before.flow, after.flow, before.flow_ui, after.flow_ui
        is_quick = _is_quick(MAX_QUICK_VALUES_TO_COMPARE, *documents)
        return pb.DiffVersionsResponse.FromString(await self._run(is_quick, compared, *documents))

    async def mean_the_same(self, one: Content, other: Content) -> bool:
        if one.canvas_digest == other.canvas_digest:
            return True
        if one.digest != other.digest:
            return False
        documents = one.flow_ui, other.flow_ui
        return await self._run(_is_quick(MAX_QUICK_VALUES_TO_COMPARE, *documents), same_documents, *documents)

    async def nodes_changed_by_both(self, start: bytes, theirs: bytes, ours: bytes) -> list[str]:
        """The ids of nodes that both flows changed since `start`."""
        is_quick = _is_quick(MAX_QUICK_VALUES_TO_COMPARE, start, theirs, ours)
        return await self._run(is_quick, nodes_changed_by_both, start, theirs, ours)

    async def _run(self, is_quick: bool, work: Callable[[*Args], Result], *args: *Args) -> Result:
        return work(*args) if is_quick else await self._workers.run(current_caller().id, work, *args)


def _is_quick(most_values: int, *documents: bytes, most_bytes: int = MAX_QUICK_BYTES) -> bool:
    size = sum(map(len, documents))
    return size <= most_values or (size < most_bytes and count_values(*documents) <= most_values)

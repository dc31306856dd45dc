"""Reads whole versions, the busiest path. Their state is always read from Postgres, their content is cached.

No stale answer is served: every call reads whether the version exists, is archived or is the latest. Concurrent calls
share one query. The answer for one state of a version never changes, so it is cached in memory.
"""

from dataclasses import dataclass
from uuid import UUID

from cachetools import LRUCache

from service_kit.array_parameters import Projects
from service_kit.db import Pool
from service_kit.hotpath.coalescer import Coalescer
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.messages import version_message
from workflow_service.model import Version, VersionRef
from workflow_service.repository.labels import LabelKey, find_labeled
from workflow_service.repository.version_lookups import Key, State, find_states, find_versions

ENTRY_BYTES = 2048
"""Bytes of an answer besides flow and flow_ui."""
MAX_ENTRY_FRACTION = 1 / 4
"""Maximum part of the cache for one answer. A few larger answers would evict all others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """GetVersion's answer for a version in one state. It is shared and must not be changed."""

    response: pb.GetVersionResponse
    etag: str
    revision: int
    current: bool
    size: int

    def is_of(self, state: State) -> bool:
        return self.revision == state.revision and self.current == state.current


class VersionReads:
    def __init__(self, pool: Pool, cache_bytes: int) -> None:
        """`cache_bytes` is the maximum size of all cached answers. 0 turns the cache off."""
        self._kept: LRUCache[UUID, Answer] = LRUCache(cache_bytes, getsizeof=lambda answer: answer.size)
        self._states: Coalescer[Key, State] = Coalescer(pool, find_states, only_reads=True)
        self._versions: Coalescer[Key, Version] = Coalescer(pool, find_versions, only_reads=True)
        self._labels: Coalescer[LabelKey, int] = Coalescer(pool, find_labeled, only_reads=True)

    async def get(self, projects: Projects, workflow_id: UUID, ref: VersionRef) -> Answer:
        """Raises WorkflowNotFound or VersionNotFound."""
        ref = await self._unlabeled(projects, workflow_id, ref)
        if not self._kept.maxsize:
            return _answer(await self._versions.get((projects, workflow_id, ref)))
        answer, _ = await self.get_with_state(projects, workflow_id, ref)
        return answer

    async def get_with_state(self, projects: Projects, workflow_id: UUID, ref: VersionRef) -> tuple[Answer, State]:
        """Raises WorkflowNotFound or VersionNotFound."""
        ref = await self._unlabeled(projects, workflow_id, ref)
        state = await self._states.get((projects, workflow_id, ref))
        answer = self._kept.get(state.id)
        if answer is None or not answer.is_of(state):
            version = await self._versions.get((projects, workflow_id, ref))
            answer = _answer(version)
            if answer.size <= self._kept.maxsize * MAX_ENTRY_FRACTION:
                self._kept[version.id] = answer
        return answer, state

    async def _unlabeled(self, projects: Projects, workflow_id: UUID, ref: VersionRef) -> VersionRef:
        """Replace a label by the number of its version. A separate query, so that other reads do not pay for it."""
        if ref.label is None:
            return ref
        return VersionRef("number", number=await self._labels.get((projects, workflow_id, ref.label)))


def _answer(version: Version) -> Answer:
    response = pb.GetVersionResponse(data=version_message(version))
    size = response.ByteSize() + ENTRY_BYTES
    return Answer(response, version.etag, version.revision, version.current, size)

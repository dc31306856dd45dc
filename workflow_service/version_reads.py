"""Reads of whole versions, the busiest path: their state is asked of Postgres each time, their content once.

Nothing stale is served: whether a version is there, archived, or the latest is read for every call, many calls in one
query. What such a state shows never changes, so the answer made for it is kept in memory.
"""

from dataclasses import dataclass
from uuid import UUID

from cachetools import LRUCache

from service_kit.batches import Batches, Projects
from service_kit.db import Pool
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from workflow_service.messages import version_message
from workflow_service.model import Version, VersionRef
from workflow_service.repository.version_batches import Key, State, find_states, find_versions

ENTRY_BYTES = 2048
"""What an answer takes besides flow and flow_ui."""
LARGEST = 4
"""An answer larger than this part of the cache is not kept, or a few of them would push out all others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What GetVersion answers for a version in one state. Shared: not to be changed."""

    response: pb.GetVersionResponse
    etag: str
    revision: int
    current: bool
    size: int

    def is_of(self, state: State) -> bool:
        return self.revision == state.revision and self.current == state.current


class VersionReads:
    def __init__(self, pool: Pool, cache_bytes: int) -> None:
        """`cache_bytes` is the size of all answers kept; 0 keeps none."""
        self._kept: LRUCache[UUID, Answer] = LRUCache(cache_bytes, getsizeof=lambda answer: answer.size)
        self._states: Batches[Key, State] = Batches(pool, find_states)
        self._versions: Batches[Key, Version] = Batches(pool, find_versions)

    async def get(self, projects: Projects, workflow_id: UUID, ref: VersionRef) -> Answer:
        """Raises WorkflowNotFound or VersionNotFound."""
        if not self._kept.maxsize:
            return _answer(await self._versions.get((projects, workflow_id, ref)))
        answer, _ = await self.get_with_state(projects, workflow_id, ref)
        return answer

    async def get_with_state(self, projects: Projects, workflow_id: UUID, ref: VersionRef) -> tuple[Answer, State]:
        """Raises WorkflowNotFound or VersionNotFound."""
        state = await self._states.get((projects, workflow_id, ref))
        answer = self._kept.get(state.id)
        if answer is None or not answer.is_of(state):
            version = await self._versions.get((projects, workflow_id, ref))
            answer = _answer(version)
            if answer.size * LARGEST <= self._kept.maxsize:
                self._kept[version.id] = answer
        return answer, state


def _answer(version: Version) -> Answer:
    response = pb.GetVersionResponse(data=version_message(version))
    size = response.ByteSize() + ENTRY_BYTES
    return Answer(response, version.etag, version.revision, version.current, size)

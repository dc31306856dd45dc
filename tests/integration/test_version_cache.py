"""The version cache of a replica never answers with an outdated state, whichever replica made the change."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from service_kit.access import tokens
from service_kit.channel import open_channel
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.refusals import refusal
from tests.support.stack import FLOW_UI, Stack, workflow_service_of
from tests.support.workflows import flow_of, save_request

pytestmark = pytest.mark.slow

ROUNDS = 40


@dataclass
class Replicas:
    """A replica that makes changes, and one that reads immediately afterwards, called by the same person."""

    stack: Stack
    writer: WorkflowServiceStub
    reader: WorkflowServiceStub

    async def change(self, rpc: str, request: Any) -> Any:
        return (await getattr(self.writer, rpc)(request, metadata=self.stack.as_())).data

    async def workflow(self) -> str:
        content = {name: pb.Json(utf8=flow_of("draft")) for name in ("flow", "flow_ui")}
        draft = pb.CreateWorkflowRequest(project_id=str(self.stack.people.project), name="flow", **content)
        return str((await self.change("CreateWorkflow", draft)).id)

    async def save(self, workflow_id: str, note: str) -> pb.Version:
        """Save at one replica, then read at both by every name of the version."""
        saved = await self.change("SaveWorkflow", save_request(workflow_id, flow_of(note)))
        for stub in (self.writer, self.reader):
            for name in (saved.id, str(saved.version), "latest"):
                version, _ = await self.read(workflow_id, name, stub)
                assert (version.id, version.flow.utf8, version.current) == (saved.id, flow_of(note), True)
        return saved

    async def read(
        self, workflow_id: str, version: str, at: WorkflowServiceStub | None = None
    ) -> tuple[pb.Version, str]:
        """The version and its ETag."""
        request = pb.GetVersionRequest(workflow_id=workflow_id, version=version)
        call = (at or self.reader).GetVersion(request, metadata=self.stack.as_())
        answer, trailers = await call, await call.trailing_metadata()
        return answer.data, str(trailers["etag"])

    async def refused(self, workflow_id: str, version: str, token: str = "admin") -> str:
        """The reason why the reader refuses the version."""
        request = pb.GetVersionRequest(workflow_id=workflow_id, version=version)
        return (await refusal(self.reader.GetVersion(request, metadata=self.stack.as_(token)))).reason

    async def code(self, workflow_id: str, version: str, token: str = "admin") -> grpc.StatusCode:
        """The code of reading the version at the reader."""
        request = pb.GetVersionRequest(workflow_id=workflow_id, version=version)
        return await self.reader.GetVersion(request, metadata=self.stack.as_(token)).code()


@pytest.fixture(params=["one writes, the other reads", "the other writes, the one reads"])
async def replicas(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Replicas]:
    async with workflow_service_of(stack) as port, open_channel(f"127.0.0.1:{port}") as channel:
        stubs = [stack.workflows, WorkflowServiceStub(channel)]
        yield Replicas(stack, *(stubs if request.param.startswith("one") else reversed(stubs)))


def names(version: pb.Version) -> tuple[str, str]:
    return version.id, str(version.version)


async def test_cached_reads_see_a_newer_version_as_the_latest_and_current_one(replicas: Replicas):
    workflow_id = await replicas.workflow()
    before = await replicas.save(workflow_id, "0")

    for number in range(1, ROUNDS + 1):
        saved = await replicas.change("SaveWorkflow", save_request(workflow_id, flow_of(str(number))))

        for name in (*names(saved), "latest"):
            version, etag = await replicas.read(workflow_id, name)
            assert (version.id, version.flow.utf8, version.current) == (saved.id, flow_of(str(number)), True)
            assert etag == f'"{saved.id}.1.current"'
        for name in names(before):
            version, etag = await replicas.read(workflow_id, name)
            assert (version.id, version.flow.utf8, version.current) == (before.id, flow_of(str(number - 1)), False)
            assert etag == f'"{before.id}.1"'
        workflow = pb.GetWorkflowRequest(workflow_id=workflow_id)
        whole = (await replicas.reader.GetWorkflow(workflow, metadata=replicas.stack.as_())).data
        assert whole.flow.utf8 == flow_of(str(number))
        before = saved


async def test_cached_reads_see_the_last_archive_or_unarchive(replicas: Replicas):
    workflow_id = await replicas.workflow()
    first = await replicas.save(workflow_id, "first")
    await replicas.save(workflow_id, "second")
    named = {"workflow_id": workflow_id, "version": first.id}

    for revision in range(2, ROUNDS + 2, 2):
        archived = await replicas.change("ArchiveVersion", pb.ArchiveVersionRequest(**named))
        for name in names(first):
            version, etag = await replicas.read(workflow_id, name)
            assert version.archived_at == archived.archived_at != ""
            assert (version.flow.utf8, etag) == (flow_of("first"), f'"{first.id}.{revision}"')

        await replicas.change("UnarchiveVersion", pb.UnarchiveVersionRequest(**named))
        for name in names(first):
            version, etag = await replicas.read(workflow_id, name)
            assert not version.HasField("archived_at")
            assert (version.flow.utf8, etag) == (flow_of("first"), f'"{first.id}.{revision + 1}"')


async def test_a_deleted_version_is_not_found_in_the_cache(replicas: Replicas):
    workflow_id = await replicas.workflow()
    version = await replicas.save(workflow_id, "0")

    for number in range(1, ROUNDS + 1):
        newer = await replicas.save(workflow_id, str(number))
        await replicas.writer.DeleteVersion(
            pb.DeleteVersionRequest(workflow_id=workflow_id, version=version.id), metadata=replicas.stack.as_()
        )

        assert [await replicas.refused(workflow_id, name) for name in names(version)] == ["VERSION_NOT_FOUND"] * 2
        version = newer


async def test_the_versions_of_a_deleted_workflow_are_not_found_in_the_cache(replicas: Replicas):
    for _ in range(ROUNDS):
        workflow_id = await replicas.workflow()
        version = await replicas.save(workflow_id, "kept")

        await replicas.writer.DeleteWorkflow(
            pb.DeleteWorkflowRequest(workflow_id=workflow_id), metadata=replicas.stack.as_()
        )

        for name in (*names(version), "latest"):
            assert await replicas.refused(workflow_id, name) == "WORKFLOW_NOT_FOUND"


async def test_a_caller_of_another_project_does_not_find_a_cached_version(replicas: Replicas):
    workflow_id = await replicas.workflow()
    version = await replicas.save(workflow_id, "ours")

    for name in (*names(version), "latest"):
        assert await replicas.refused(workflow_id, name, token="stranger") == "WORKFLOW_NOT_FOUND"


async def test_a_cached_version_is_not_found_under_another_workflow(replicas: Replicas):
    workflow_id, other_id = await replicas.workflow(), await replicas.workflow()
    version = await replicas.save(workflow_id, "ours")
    other = await replicas.save(other_id, "the other's")

    assert await replicas.refused(other_id, version.id) == "VERSION_NOT_FOUND"
    assert await replicas.refused(workflow_id, other.id) == "VERSION_NOT_FOUND"
    for name in ("1", "latest"):
        assert [(await replicas.read(id_, name))[0].id for id_ in (workflow_id, other_id)] == [version.id, other.id]


async def test_cached_versions_with_the_same_flow_stay_separate(replicas: Replicas):
    workflow_id = await replicas.workflow()
    first = await replicas.save(workflow_id, "same")
    moved = b'{"nodes":[],"moved":true}'

    second = await replicas.change("SaveWorkflow", save_request(workflow_id, flow_of("same"), moved))

    found = [(await replicas.read(workflow_id, name))[0] for name in (first.id, second.id)]
    assert [version.flow_ui.utf8 for version in found] == [FLOW_UI, moved]
    assert [version.HasField("identical_to") for version in found] == [False, True]


async def test_a_read_that_begins_after_a_save_is_answered_sees_its_version(replicas: Replicas):
    workflow_id = await replicas.workflow()
    answered = (await replicas.save(workflow_id, "0")).version
    stale: list[tuple[int, int]] = []

    async def read_the_latest() -> None:
        while answered < ROUNDS:
            at_least = answered
            version, _ = await replicas.read(workflow_id, "latest")
            if version.version < at_least or not version.current:
                stale.append((version.version, at_least))

    readers = [asyncio.create_task(read_the_latest()) for _ in range(4)]
    while answered < ROUNDS:
        save = save_request(workflow_id, flow_of(str(answered)))
        answered = (await replicas.change("SaveWorkflow", save)).version
    await asyncio.gather(*readers)

    assert stale == []


async def test_a_read_that_begins_after_a_delete_is_answered_does_not_find_the_version(replicas: Replicas):
    workflow_id = await replicas.workflow()
    found_after: list[str] = []
    found_before = 0
    deleted: set[str] = set()

    async def read(version: pb.Version) -> None:
        nonlocal found_before
        reads_left = 3  # after the delete
        while reads_left:
            begins_after = version.id in deleted
            reads_left -= begins_after
            code = await replicas.code(workflow_id, version.id)
            if code == grpc.StatusCode.OK and begins_after:
                found_after.append(version.id)
            found_before += code == grpc.StatusCode.OK

    for number in range(ROUNDS // 4):
        version = await replicas.save(workflow_id, str(number))
        await replicas.save(workflow_id, f"{number}, newer")
        readers = [asyncio.create_task(read(version)) for _ in range(4)]
        await asyncio.sleep(0.005)
        named = pb.DeleteVersionRequest(workflow_id=workflow_id, version=version.id)
        await replicas.writer.DeleteVersion(named, metadata=replicas.stack.as_())
        deleted.add(version.id)
        await asyncio.gather(*readers)

    assert found_after == []
    assert found_before > ROUNDS // 4


async def test_a_revoked_token_cannot_read_a_cached_version(replicas: Replicas):
    workflow_id = await replicas.workflow()
    version = await replicas.save(workflow_id, "read a moment ago")
    assert await replicas.code(workflow_id, version.id, token="viewer") == grpc.StatusCode.OK

    tokens.revoke_token(replicas.stack.people.path, "tok_viewer")

    deadline = time.monotonic() + 2
    while (code := await replicas.code(workflow_id, version.id, token="viewer")) == grpc.StatusCode.OK:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert code == grpc.StatusCode.UNAUTHENTICATED

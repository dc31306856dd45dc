"""RPCs about runtimes. Runtimes belong to the installation, so their audit and idempotency records have the nil UUID as
the project."""

from dataclasses import replace
from uuid import UUID

from deploy_service.errors import RuntimeLockNotFound
from deploy_service.messages import digest_of, runtime_message
from deploy_service.model import check_labels, check_lock, check_runtime_change
from deploy_service.repository import runtimes
from deploy_service.servicer.base import ServicerBase
from service_kit import audit
from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.fields import optional
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb

EVERY_PROJECT = UUID(int=0)


class RuntimeMethods(ServicerBase):
    async def ListRuntimes(self, request: pb.ListRuntimesRequest, context: Context) -> pb.ListRuntimesResponse:
        page = page_of(request)
        async with self._pages.acquire() as db:
            found, total = await runtimes.list_runtimes(db, page)
        return pb.ListRuntimesResponse(data=map(runtime_message, found), pagination=pb.Pagination(**page.of(total)))

    async def CreateRuntime(self, request: pb.CreateRuntimeRequest, context: Context) -> pb.CreateRuntimeResponse:
        caller = current_caller()
        caller.require_operator()
        check_labels(version=request.version, label=request.label)
        lock = check_lock(request.lock) if request.HasField("lock") else None

        async def create(db: Connection) -> pb.CreateRuntimeResponse:
            async with db.transaction():
                await runtimes.lock_runtimes(db)
                if request.default:
                    await runtimes.clear_default(db)
                digest = None if lock is None else await runtimes.keep_lock(db, lock)
                runtime = await runtimes.insert_runtime(
                    db, new_id(), request.version, request.label, digest, default=request.default
                )
                await audit.record(
                    db, caller, EVERY_PROJECT, runtime.id, "CreateRuntime", runtime.id, version=runtime.version
                )
            return pb.CreateRuntimeResponse(data=runtime_message(runtime))

        call = IdempotentCall(self._pool, context, request, pb.CreateRuntimeResponse, in_project(EVERY_PROJECT))
        return await call.run(create, changed=EVERY_PROJECT)

    async def UpdateRuntime(self, request: pb.UpdateRuntimeRequest, context: Context) -> pb.UpdateRuntimeResponse:
        caller = current_caller()
        caller.require_operator()
        label = optional(request, "label")
        check_labels(label=label)
        lock = check_lock(request.lock) if request.HasField("lock") else None
        default = request.default if request.HasField("default") else None
        deprecated = request.deprecated if request.HasField("deprecated") else None
        async with self._pool.acquire_to_change(EVERY_PROJECT) as db, db.transaction():
            await runtimes.lock_runtimes(db)
            runtime = await runtimes.get_named_runtime(db, UUID(request.runtime_id))
            check_runtime_change(runtime, default, deprecated)
            updated = replace(
                runtime,
                label=runtime.label if label is None else label,
                is_default=runtime.is_default if default is None else default,
                deprecated=runtime.deprecated if deprecated is None else deprecated,
                lock_digest=runtime.lock_digest if lock is None else await runtimes.keep_lock(db, lock),
            )
            if updated != runtime:
                if updated.is_default:
                    await runtimes.clear_default(db)
                await runtimes.update_runtime(db, updated)
                await audit.record(
                    db, caller, EVERY_PROJECT, runtime.id, "UpdateRuntime", runtime.id, version=runtime.version
                )
        return pb.UpdateRuntimeResponse(data=runtime_message(updated))

    async def GetRuntimeLock(self, request: pb.GetRuntimeLockRequest, context: Context) -> pb.GetRuntimeLockResponse:
        current_caller().require_operator()
        runtime_id = UUID(request.runtime_id)
        async with self._pool.acquire() as db:
            runtime = await runtimes.get_named_runtime(db, runtime_id)
            digest = digest_of(request.digest) if request.HasField("digest") else runtime.lock_digest
            if digest is None:
                raise RuntimeLockNotFound(runtime_id)
            lock = await runtimes.get_lock(db, runtime_id, digest)
        return pb.GetRuntimeLockResponse(data=pb.RuntimeLock(digest=f"sha256:{digest.hex()}", lock=lock.decode()))

    async def ListRuntimeAuditEvents(
        self, request: pb.ListRuntimeAuditEventsRequest, context: Context
    ) -> pb.ListRuntimeAuditEventsResponse:
        current_caller().require_operator()
        runtime_id, page = UUID(request.runtime_id), page_of(request)
        async with self._pages.acquire() as db:
            await runtimes.get_named_runtime(db, runtime_id)
            events, total = await audit.list_events(db, [EVERY_PROJECT], runtime_id, page, pb)
        return pb.ListRuntimeAuditEventsResponse(data=events, pagination=pb.Pagination(**page.of(total)))

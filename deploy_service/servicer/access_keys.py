"""RPCs about access keys. Only the first answer has the secret; the stored answer for repeats does not have it."""

import hashlib
import secrets
import string
from uuid import UUID

from deploy_service.errors import AccessKeyExists
from deploy_service.messages import access_key_message
from deploy_service.model import check_labels
from deploy_service.repository import access_keys
from deploy_service.servicer.base import ServicerBase
from deploy_service.signals import Topic
from service_kit import audit
from service_kit.access.caller import current_caller
from service_kit.db import Connection
from service_kit.idempotency import Context, IdempotentCall, in_project
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.times import moment

PREFIX = "dynamiq_acc_"
ALPHABET = string.ascii_letters + string.digits


class AccessKeyMethods(ServicerBase):
    async def ListAccessKeys(self, request: pb.ListAccessKeysRequest, context: Context) -> pb.ListAccessKeysResponse:
        project = current_caller().project(UUID(request.project_id))
        page = page_of(request)
        async with self._pages.acquire() as db:
            found, total = await access_keys.list_access_keys(db, project.id, page)
        return pb.ListAccessKeysResponse(
            data=map(access_key_message, found), pagination=pb.Pagination(**page.of(total))
        )

    async def CreateAccessKey(self, request: pb.CreateAccessKeyRequest, context: Context) -> pb.CreateAccessKeyResponse:
        caller = current_caller()
        project = caller.project(UUID(request.project_id))
        check_labels(name=request.name)
        expires_at = moment("expires_at", request.expires_at) if request.HasField("expires_at") else None
        secret = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(64))
        digest, preview = hashlib.sha256(secret.encode()).digest(), f"{PREFIX}{secret[len(PREFIX) :][:2]}…{secret[-2:]}"

        async def create(db: Connection) -> pb.CreateAccessKeyResponse:
            async with db.transaction():
                key = await access_keys.insert_access_key(
                    db, project.id, new_id(), request.name, digest, preview, caller.id, expires_at
                )
                await audit.record(db, caller, project.id, key.id, "CreateAccessKey", key.id)
            return pb.CreateAccessKeyResponse(data=access_key_message(key))

        call = IdempotentCall(self._pool, context, request, pb.CreateAccessKeyResponse, in_project(project.id))
        answer = await call.run(create)
        self._signals.send(Topic.KEYS, project.id)
        if call.is_replayed:
            raise AccessKeyExists(answer.data.id, answer.data.preview)
        answer.data.key = secret
        return answer

    async def DeleteAccessKey(self, request: pb.DeleteAccessKeyRequest, context: Context) -> pb.DeleteAccessKeyResponse:
        caller = current_caller()
        access_key_id = UUID(request.access_key_id)
        async with self._pool.acquire_to_change(access_key_id) as db, db.transaction():
            project_id = await access_keys.lock_access_key(db, caller.visible_projects, access_key_id)
            caller.require(project_id)
            if await access_keys.revoke_access_key(db, project_id, access_key_id, caller.id):
                await audit.record(db, caller, project_id, access_key_id, "DeleteAccessKey", access_key_id)
        self._signals.send(Topic.KEYS, project_id)
        return pb.DeleteAccessKeyResponse(message="deleted")

    async def ListAccessKeyAuditEvents(
        self, request: pb.ListAccessKeyAuditEventsRequest, context: Context
    ) -> pb.ListAccessKeyAuditEventsResponse:
        project = current_caller().project(UUID(request.project_id))
        page = page_of(request)
        async with self._pages.acquire() as db:
            found, total = await access_keys.list_events(db, project.id, page)
        return pb.ListAccessKeyAuditEventsResponse(
            data=audit.messages(found, pb), pagination=pb.Pagination(**page.of(total))
        )

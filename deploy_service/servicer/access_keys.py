"""Access keys. A secret is in one answer and nowhere else, so no idempotency record keeps that answer."""

import hashlib
import secrets
import string
from datetime import UTC, datetime
from uuid import UUID

from deploy_service.messages import access_key_message
from deploy_service.model import check_labels
from deploy_service.repository import access_keys
from deploy_service.servicer.rpcs import Rpcs
from service_kit import audit, auth
from service_kit.errors import InvalidFields
from service_kit.idempotency import Context
from service_kit.ids import new_id
from service_kit.paging import page_of
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as pb
from service_kit.times import moment

PREFIX = "dynamiq_acc_"
ALPHABET = string.ascii_letters + string.digits


class AccessKeyRpcs(Rpcs):
    async def ListAccessKeys(self, request: pb.ListAccessKeysRequest, context: Context) -> pb.ListAccessKeysResponse:
        project = auth.caller().project(UUID(request.project_id))
        page = page_of(request)
        async with self._pool.acquire() as db:
            found, total = await access_keys.list_access_keys(db, project.id, page)
        return pb.ListAccessKeysResponse(
            data=map(access_key_message, found), pagination=pb.Pagination(**page.of(total))
        )

    async def CreateAccessKey(self, request: pb.CreateAccessKeyRequest, context: Context) -> pb.CreateAccessKeyResponse:
        caller = auth.caller()
        project = caller.project(UUID(request.project_id))
        check_labels(name=request.name)
        expires_at = moment("expires_at", request.expires_at) if request.HasField("expires_at") else None
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidFields({"expires_at": "must lie ahead"})
        secret = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(64))
        digest, preview = hashlib.sha256(secret.encode()).digest(), f"{PREFIX}{secret[len(PREFIX) :][:2]}…{secret[-2:]}"
        async with self._pool.acquire() as db, db.transaction():
            key = await access_keys.insert_access_key(
                db, project.id, new_id(), request.name, digest, preview, caller.id, expires_at
            )
            await audit.record(db, caller, project.id, key.id, "CreateAccessKey", key.id)
        return pb.CreateAccessKeyResponse(data=access_key_message(key, secret))

    async def DeleteAccessKey(self, request: pb.DeleteAccessKeyRequest, context: Context) -> pb.DeleteAccessKeyResponse:
        caller = auth.caller()
        access_key_id = UUID(request.access_key_id)
        async with self._pool.acquire() as db, db.transaction():
            project_id = await access_keys.lock_access_key(db, caller.visible, access_key_id)
            caller.require(project_id)
            if await access_keys.revoke_access_key(db, project_id, access_key_id, caller.id):
                await audit.record(db, caller, project_id, access_key_id, "DeleteAccessKey", access_key_id)
        return pb.DeleteAccessKeyResponse(message="deleted")

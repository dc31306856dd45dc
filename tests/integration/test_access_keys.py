"""The secret of an access key is in one answer only. Its hash and preview are stored. A revoked key stays listed."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

from tests.support.deployments import unknown, uuid
from tests.support.stack import Stack


async def create(stack: Stack, **fields):
    return await stack.rest("POST", "/v1/access-keys", {"project_id": str(stack.people.project), **fields})


async def listed(stack: Stack):
    return await stack.ok("GET", f"/v1/access-keys?project_id={stack.people.project}")


async def test_the_secret_of_an_access_key_is_shown_once_and_stored_as_a_hash_and_a_preview(stack: Stack):
    answer = await create(stack, name="the site")

    secret = answer.data.pop("key") if "key" in answer.data else answer.body["data"]["key"]
    [kept] = await listed(stack)
    async with stack.database("admin", "deploy") as db:
        row = await db.fetchrow("SELECT * FROM access_keys")
        everywhere = [
            str(found)
            for (table,) in await db.fetch(
                "SELECT tablename FROM pg_tables WHERE schemaname = $1", stack.schemas["deploy"]
            )
            for found in await db.fetch(f"SELECT t::text FROM {table} t")
        ]
    assert answer.status == 201
    assert re.fullmatch(r"dynamiq_acc_[A-Za-z0-9]{64}", secret)
    assert kept == {name: value for name, value in answer.body["data"].items() if name != "key"}
    assert kept["preview"] == f"{secret[:14]}…{secret[-2:]}"
    assert row["secret_hash"] == hashlib.sha256(secret.encode()).digest()
    assert not [found for found in everywhere if secret[14:-2] in found]


async def test_a_repeat_with_the_same_idempotency_key_creates_no_second_access_key(stack: Stack):
    key = {"Idempotency-Key": "one"}
    body = {"project_id": str(stack.people.project), "name": "the site"}
    first = await stack.rest("POST", "/v1/access-keys", body, headers=key)

    repeat = await stack.rest("POST", "/v1/access-keys", body, headers=key)
    other = await stack.rest("POST", "/v1/access-keys", {**body, "name": "another"}, headers=key)

    assert (repeat.status, repeat.error["code"]) == (409, "conflict")
    named = {"access_key_id": first.data["id"], "preview": first.data["preview"]}
    assert repeat.error["details"] == {"reason": "ACCESS_KEY_EXISTS", **named}
    assert other.error["details"]["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert [row["id"] for row in await listed(stack)] == [first.data["id"]]
    async with stack.database("admin", "deploy") as db:
        kept = await db.fetchval("SELECT answer FROM idempotency_keys")
    assert first.data["id"].encode() in kept
    assert first.data["key"][14:-2].encode() not in kept


async def test_a_revoked_key_stays_listed_and_can_be_revoked_again(stack: Stack):
    older, newer = [(await create(stack, name=name)).data for name in ("older", "newer")]

    answers = [await stack.rest("DELETE", f"/v1/access-keys/{older['id']}") for _ in range(2)]

    assert [(answer.status, answer.body) for answer in answers] == [(200, {"message": "deleted"})] * 2
    first, second = await listed(stack)
    assert (first["id"], "revoked_at" in first) == (newer["id"], False)
    assert (second["id"], "revoked_at" in second) == (older["id"], True)
    async with stack.database("admin", "deploy") as db:
        assert (
            await db.fetchval("SELECT revoked_by FROM access_keys WHERE id = $1", uuid(older["id"]))
            == stack.people.user
        )


async def test_the_expiry_of_an_access_key_must_be_in_the_future(stack: Stack):
    now = datetime.now(UTC)
    tomorrow, yesterday = [(now + timedelta(days=days)).isoformat().replace("+00:00", "Z") for days in (1, -1)]

    ahead = await create(stack, name="until tomorrow", expires_at=tomorrow)
    past = await create(stack, name="until yesterday", expires_at=yesterday)

    assert datetime.fromisoformat(ahead.data["expires_at"]) == now + timedelta(days=1)
    assert past.refusal == (400, "INVALID_REQUEST", {"expires_at"})
    assert past.error["details"]["expires_at"] == "must be in the future"
    assert len(await listed(stack)) == 1


async def test_only_admins_of_a_project_manage_its_access_keys(stack: Stack):
    made = (await create(stack, name="ours")).data
    path = f"/v1/access-keys?project_id={stack.people.project}"
    one = f"/v1/access-keys/{made['id']}"
    new = {"project_id": str(stack.people.project), "name": "theirs"}

    for token, status in (("viewer", 403), ("editor", 403), ("stranger", 404)):
        answers = [
            await stack.rest("GET", path, token=token),
            await stack.rest("POST", "/v1/access-keys", new, token=token),
            await stack.rest("DELETE", one, token=token),
        ]
        assert [answer.status for answer in answers] == [status] * 3
    assert await stack.ok("GET", f"/v1/access-keys?project_id={stack.people.staged}") == []
    assert await listed(stack) == [{name: value for name, value in made.items() if name != "key"}]


async def test_an_invalid_request_for_an_access_key_is_refused(stack: Stack):
    for name in ("", " ", "n" * 129, "a\0"):
        assert (await create(stack, name=name)).refusal == (400, "INVALID_REQUEST", {"name"})
    nowhere = await stack.rest("DELETE", f"/v1/access-keys/{unknown()}")
    unseen = await stack.rest("POST", "/v1/access-keys", {"name": "n", "project_id": unknown()})

    assert (nowhere.status, nowhere.error["details"]["reason"]) == (404, "ACCESS_KEY_NOT_FOUND")
    assert (unseen.status, unseen.error["details"]["reason"]) == (404, "PROJECT_NOT_FOUND")
    assert await listed(stack) == []

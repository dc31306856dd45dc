"""A call of an app is answered by what it has live, or refused in one clear sentence: every status of the contract."""

import aiohttp
import pytest

from tests.support.apps.world import FOREIGN_KEY, KEY, Apps


async def test_a_call_is_answered_by_what_is_live(shared_apps: Apps):
    answer = await shared_apps.call({"price": 2.5})

    assert answer.status == 200
    assert answer.body["output"] == {"flow": "one", "input": {"price": 2.5}}
    assert answer.headers["X-Flowpin-Deployment"] == shared_apps.live.deployment_id
    assert answer.headers["X-Flowpin-Version"] == "v1"
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"

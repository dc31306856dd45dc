"""There is always a default runtime that can be deployed."""

import pytest

from tests.support.stack import Stack


@pytest.mark.parametrize("change", [{"deprecated": True}, {"default": False}], ids=str)
async def test_the_default_runtime_cannot_be_deprecated_or_unset(shared_stack: Stack, change: dict[str, bool]):
    [default] = await shared_stack.ok("GET", "/v1/runtimes")

    refused = await shared_stack.rest("PUT", f"/v1/runtimes/{default['id']}", change, token="installer")

    assert refused.refusal == (400, "RUNTIME_IS_DEFAULT", set())
    assert await shared_stack.ok("GET", "/v1/runtimes") == [default]


async def test_the_audit_of_a_runtime_has_pages_from_1(shared_stack: Stack):
    [default] = await shared_stack.ok("GET", "/v1/runtimes")

    refused = await shared_stack.rest("GET", f"/v1/runtimes/{default['id']}/audit-events?page=0", token="installer")

    assert refused.refusal == (400, "INVALID_REQUEST", {"page"})

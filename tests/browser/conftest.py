"""One browser for all tests here; each opens contexts of its own."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import running_chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture(scope="session")
async def browser() -> "AsyncIterator[Browser]":
    async with running_chromium() as browser:
        yield browser

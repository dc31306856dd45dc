"""The console with real services, started once for all tests. Each test makes its own workflows and apps."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import pytest

from console.server import running_console
from console.settings import Settings
from tests.support.console_pages import Pages
from tests.support.stack import fresh_stack, running_stack

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture(scope="session")
async def pages(
    browser: "Browser", database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pages]:
    folder = tmp_path_factory.mktemp("console")
    async with fresh_stack(database_urls, folder) as unstarted, running_stack(unstarted) as stack:
        settings = Settings(
            listen="127.0.0.1:0",
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            sign_in_file=folder / "sign-in",
            drain_seconds=0,
        )
        async with running_console(settings) as port:
            yield Pages(browser, stack, port)

"""A console with sign-in at an issuer, and services that accept the issuer's tokens."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import yaml

from console.server import running_console
from console.settings import Settings
from tests.support.ports import free_port
from tests.support.stack import Stack, running_stack


@asynccontextmanager
async def running_issuer_console(
    stack: Stack, row: Mapping[str, Any], *, host: str = "127.0.0.1", port: int = 0, **settings: Any
) -> AsyncIterator[str]:
    """Start the services of `stack` with the issuer `row` in access.yaml, and a console. Yields the console's URL."""
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [dict(row)]}))
    async with running_stack(stack):
        port = port or free_port()
        chosen = Settings(
            listen=f"127.0.0.1:{port}",
            url=f"http://{host}:{port}",
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            drain_seconds=0,
            **{"issuer": row["url"], "client_id": row["audience"], **settings},
        )
        await asyncio.sleep(0.5)  # the services read the issuer's keys
        async with running_console(chosen):
            yield f"http://{host}:{port}"

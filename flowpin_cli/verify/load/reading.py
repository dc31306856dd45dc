"""Reads the content of the installation after the load: all versions with their bytes, and all deployments."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.load.documents import digest_of
from flowpin_cli.verify.load.kept import Kept, KeptDeployment, KeptVersion
from flowpin_cli.verify.load.rest import Answer, Rest

PAGE_SIZE = 500
READS_AT_ONCE = 8
TRIES = 5
PAUSE_SECONDS = 1.0
NOT_FOUND = 404


async def read_kept(rest: Rest, workflows: Sequence[str], apps: Sequence[str]) -> Kept:
    """Raises CannotRun when the installation does not answer."""
    return Kept(
        {workflow: await _versions(rest, workflow) for workflow in workflows},
        {app: await _deployments(rest, app) for app in apps},
    )


async def _versions(rest: Rest, workflow: str) -> list[KeptVersion]:
    rows = await _every(rest, f"/v1/workflows/{workflow}/versions?sort=version&include_archived=true")
    limit = asyncio.Semaphore(READS_AT_ONCE)

    async def read(row: dict[str, Any]) -> KeptVersion | None:
        async with limit:
            content = await _get(rest, f"/v1/workflows/{workflow}/versions/{row['id']}")
        if content is None:  # listed but not found: the checks treat it as missing
            return None
        version = msgspec.json.decode(content, type=Answer).data
        return KeptVersion(version.id, version.version, digest_of(bytes(version.flow), bytes(version.flow_ui)))

    return [version for version in await asyncio.gather(*map(read, rows)) if version is not None]


async def _deployments(rest: Rest, app: str) -> list[KeptDeployment]:
    return [
        KeptDeployment(
            id=row["id"],
            kind=row["kind"],
            status=row["status"],
            version_id=row["workflow_version_id"],
            reason=row.get("reason"),
            live=row["live"],
            live_from=row.get("live_from"),
            live_to=row.get("live_to"),
            source_id=row.get("source_deployment_id"),
        )
        for row in await _every(rest, f"/v1/apps/{app}/deployments?sort=started_at")
    ]


async def _every(rest: Rest, path: str) -> list[dict[str, Any]]:
    """All rows of a list. Empty if the workflow or app is not found, because then its content was lost too."""
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        content = await _get(rest, f"{path}&page={page}&page_size={PAGE_SIZE}")
        if content is None:
            return []
        answer = json.loads(content)
        rows += answer["data"]
        if page >= answer["pagination"]["page_count"]:
            return rows
        page += 1


async def _get(rest: Rest, path: str) -> bytes | None:
    """The content at a path. None if it is not found. Raises CannotRun if several tries get no answer."""
    failure: Exception | None = None
    for _ in range(TRIES):
        try:
            return await rest.get(path)
        except aiohttp.ClientResponseError as error:
            if error.status == NOT_FOUND:
                return None
            failure = error
        except (TimeoutError, aiohttp.ClientError) as error:
            failure = error
        await asyncio.sleep(PAUSE_SECONDS)
    raise CannotRun(f"what was kept cannot be read: {path}: {str(failure) or type(failure).__name__}")

"""Calls over REST: writes requests, and reads the values for the checks from answers."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from flowpin_cli.rest.trust import context_of
from flowpin_cli.verify.load.calls import NO_ANSWER, UNREADABLE, Reply, Request
from flowpin_cli.verify.load.documents import FLOW_UI, digest_of
from flowpin_cli.verify.load.options import Target

CREATE_SECONDS = 60.0
"""Timeout for a new app, which waits some time for its first replica."""
PAGE_SIZE = 20
"""Page size of the lists that the load reads."""


class Document(msgspec.Struct):
    """A workflow or a version. Its documents are the bytes that were sent."""

    id: str
    version: int = 0
    canvas_digest: str = ""
    current: bool = False
    latest_version: dict[str, Any] = {}
    flow: msgspec.Raw = msgspec.Raw()
    flow_ui: msgspec.Raw = msgspec.Raw()


class Answer(msgspec.Struct):
    data: Document


_document = msgspec.json.Decoder(Answer)


class Rest:
    name = "rest"

    def __init__(self, target: Target, session: aiohttp.ClientSession, call_seconds: float) -> None:
        self._target = target
        self._call_seconds = call_seconds
        self._session = session

    async def send(self, request: Request) -> Reply:
        method, path, body = _http(request)
        try:
            async with self._session.request(
                method,
                self._target.url + path,
                data=body,
                headers=self._headers(request),
                timeout=self._timeout(request),
            ) as response:
                content = await response.read()
                return _reply(request, response.status, response.headers.get("ETag"), content)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Reply("unknown", type(error).__name__)

    async def get(self, path: str) -> bytes:
        """A read that is not part of the history. Raises aiohttp.ClientError or TimeoutError."""
        headers = {"Authorization": f"Bearer {self._target.token}"}
        async with self._session.get(self._target.url + path, headers=headers) as response:
            response.raise_for_status()
            return await response.read()

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a resource that the load works on. Raises aiohttp.ClientError or TimeoutError."""
        headers = {"Authorization": f"Bearer {self._target.token}"}
        timeout = aiohttp.ClientTimeout(total=CREATE_SECONDS)
        async with self._session.post(self._target.url + path, json=body, headers=headers, timeout=timeout) as response:
            response.raise_for_status()
            return dict((await response.json())["data"])

    def _timeout(self, request: Request) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=request.patience_seconds or self._call_seconds)

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._target.token}"}
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        if request.sent.get("if_match"):
            headers["If-Match"] = request.sent["if_match"]
        if request.sent.get("if_none_match"):
            headers["If-None-Match"] = request.sent["if_none_match"]
        return headers


@asynccontextmanager
async def open_rest(target: Target, call_seconds: float) -> AsyncIterator[Rest]:
    """`call_seconds` is the deadline of each call."""
    timeout = aiohttp.ClientTimeout(total=call_seconds)
    connector = aiohttp.TCPConnector(limit=0, ssl=context_of(target.ca) or True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Rest(target, session, call_seconds)


def _http(request: Request) -> tuple[str, str, bytes | None]:
    """The method, path and body of a call."""
    sent = request.sent
    workflow, app = f"/v1/workflows/{request.target}", f"/v1/apps/{request.target}"
    match request.kind:
        case "save":
            fields: dict[str, Any] = {"description": request.operation}
            if sent.get("base") and not sent.get("if_match"):
                fields["base_version_id"] = sent["base"]
            # Written by hand, because a JSON library would change the documents' bytes.
            rest = json.dumps(fields).encode()[1:]
            return "POST", f"{workflow}/save", b'{"flow": %b, "flow_ui": %b, %b' % (request.document, FLOW_UI, rest)
        case "version":
            return "GET", f"{workflow}/versions/{sent['version']}", None
        case "workflow":
            return "GET", workflow, None
        case "versions":
            return "GET", f"{workflow}/versions?page_size={PAGE_SIZE}", None
        case "deploy":
            body = {"workflow_id": sent["workflow_id"], "reason": request.operation}
            if sent.get("version_id"):
                body["workflow_version_id"] = sent["version_id"]
            return "POST", f"{app}/deploy", json.dumps(body).encode()
        case "rollback":
            return "POST", f"{app}/rollback", json.dumps({"reason": request.operation}).encode()
        case "app":
            return "GET", app, None
        case "deployments":
            return "GET", f"{app}/deployments?page_size={PAGE_SIZE}", None
    raise ValueError(request.kind)


def _reply(request: Request, status: int, etag: str | None, content: bytes) -> Reply:
    if status == 304:
        return Reply("answered", "304", {"unmodified": True, "etag": etag})
    if status < 300:
        body = hashlib.sha256(content).hexdigest()[:16]
        try:
            got = _got(request.kind, content)
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError):
            return Reply("unknown", f"{status} {UNREADABLE}", {"body": body})
        return Reply("answered", str(status), {**got, "etag": etag, "body": body})
    try:
        reason = json.loads(content)["error"].get("details", {}).get("reason", "")
    except (ValueError, KeyError, AttributeError, TypeError):
        reason = ""
    is_refused = status < 500 and reason not in NO_ANSWER
    return Reply("refused" if is_refused else "unknown", f"{status} {reason}".strip())


def _got(kind: str, content: bytes) -> dict[str, Any]:
    if kind in ("save", "version", "workflow"):
        document = _document.decode(content).data
        read = digest_of(bytes(document.flow), bytes(document.flow_ui)) if document.flow else document.canvas_digest
        if kind == "workflow":
            latest = document.latest_version
            return {"id": latest.get("id", ""), "number": latest.get("version", 0), "digest": read}
        return {"id": document.id, "number": document.version, "digest": read, "current": document.current}
    data = json.loads(content)["data"]
    match kind:
        case "versions":
            numbers = [row["version"] for row in data]
            current = [row["version"] for row in data if row.get("current")]
            return {"ids": [row["id"] for row in data], "numbers": numbers, "current": current}
        case "deployments":
            return {"ids": [row["id"] for row in data], "live": next((row["id"] for row in data if row["live"]), None)}
        case "app":
            return {"live": data["environments"][-1].get("deployment_id")}
    notes = {"notes": data["rollout_notes"]} if data.get("rollout_notes") else {}
    return {name: data[name] for name in ("id", "status", "live")} | {
        "version_id": data["workflow_version_id"],
        **notes,
    }

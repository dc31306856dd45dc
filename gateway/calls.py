"""Compiles each route into a handler: read the request, call the RPC, write the answer."""

import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import web
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway import errors, headers
from gateway.codec.encode import download_field, writer
from gateway.codec.request import from_body, from_query
from gateway.codec.scalars import Value
from gateway.routes import DOWNLOAD_NAME, Route
from gateway.traffic import REQUEST_ID
from service_kit.admission import Admission
from service_kit.errors import ServiceError
from service_kit.rpcs import Metadata, Rpc, Trailers
from service_kit.threads import read_in_thread

LARGE = 256 << 10
"""What takes more than a few milliseconds to read, in bytes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = tuple[bytes, dict[str, str]]
"""An answer's bytes, and the headers that describe them."""


def handler(route: Route, rpc: Rpc, admission: Admission) -> Handler:
    """Answers requests of `route` by calling its RPC."""
    read, write, status = _reader(route), _writer(route.rpc.output_type), route.status
    message_of = GetMessageClass(route.rpc.output_type).FromString

    async def handle(request: web.Request) -> web.Response:
        size = request.content_length or 0
        try:
            admission.enter(size)
        except ServiceError as error:
            return errors.of_service(error)
        try:
            metadata = _metadata(request)
            message = (await read(request)).SerializeToString()
            answer, trailers = await rpc(message, metadata)
        except ServiceError as error:
            return errors.of_service(error, route.variables)
        finally:
            admission.leave(size)
        parsed = message_of(answer)
        del answer, message  # documents, maybe of many MB, of which the next step makes one more copy
        body, fields = write(parsed)
        return _answer(request, status, body, fields, trailers)

    return handle


def _reader(route: Route) -> Callable[[web.Request], Awaitable[Message]]:
    request_type = route.rpc.input_type
    if route.has_body:
        read_body = from_body(request_type, route.variables)

        async def read(request: web.Request) -> Message:
            body = await _body(request)
            if len(body) < LARGE:
                return read_body(request.match_info, body)
            return await read_in_thread(read_body, request.match_info, body)  # others are not to wait for it

    else:
        read_query = from_query(request_type, route.variables)

        async def read(request: web.Request) -> Message:
            return read_query(request.match_info, request.query)

    return read


async def _body(request: web.Request) -> bytes:
    """Raises HTTPRequestEntityTooLarge. Unlike `request.read()`, it copies once and keeps nothing with the request."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size, size)
        chunks.append(chunk)
    return b"".join(chunks)


def _metadata(request: web.Request) -> Metadata:
    return {
        "authorization": headers.authorization(request.headers),
        "x-request-id": request[REQUEST_ID],
        **dict(headers.passed_on(request.headers)),
    }


def _writer(answer: Descriptor) -> Callable[[Value], Body]:
    downloaded = download_field(answer)
    if downloaded is None:
        write_json, described = writer(answer), {"Content-Type": "application/json"}
        return lambda message: (write_json(message), described)

    def write(message: Value) -> Body:
        download = getattr(message, downloaded)
        return download.data, {
            "Content-Type": download.content_type or "application/octet-stream",
            "Content-Disposition": f"attachment; filename={DOWNLOAD_NAME}",
        }

    return write


class Answer(web.Response):
    """Lets go of its body once that is written: aiohttp keeps an answer until the next request of its connection."""

    async def write_eof(self, data: bytes = b"") -> None:
        try:
            await super().write_eof(data)
        finally:
            self.body = None


def _answer(
    request: web.Request, status: int, body: bytes, described: dict[str, str], trailers: Trailers
) -> web.Response:
    reads = request.method in ("GET", "HEAD")
    etag = trailers.get("etag")
    if etag is None and reads:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if etag is None:
        return Answer(status=status, body=body, headers=_marked(described, trailers))
    if reads and headers.is_current(request.headers, etag):
        return web.Response(status=304, headers={"ETag": etag})
    return Answer(status=status, body=body, headers=_marked({**described, "ETag": etag}, trailers))


def _marked(fields: dict[str, str], trailers: Trailers) -> dict[str, str]:
    return fields if "idempotent-replayed" not in trailers else {**fields, "Idempotent-Replayed": "true"}

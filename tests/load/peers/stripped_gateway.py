"""What a gateway of aiohttp and grpc.aio cannot leave out of `GET /v1/workflows/{id}/versions/{id}`, and nothing more.

It reads the request, passes token and request id on in one RPC over one connection, writes the version as JSON with the
graphs spliced in and the service's ETag, and a line to the log. It has no other routes, no checks of its own, no error
envelope, no limits, retries, metrics or drain.

    python -m tests.load.peers.stripped_gateway PORT WORKFLOW_TARGET
"""

import asyncio
import sys
import time

import grpc
import msgspec
import uuid_utils
import uvloop
from aiohttp import web

from gateway.codec.encode import writer
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb

TIMEOUT_SECONDS = 30
READY = "/ready"


async def serve(port: int, target: str) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        rpc = channel.unary_unary(
            "/flowpin.workflow.v1.WorkflowService/GetVersion",
            request_serializer=pb.GetVersionRequest.SerializeToString,
            response_deserializer=pb.GetVersionResponse.FromString,
        )
        write = writer(pb.GetVersionResponse.DESCRIPTOR)
        log = sys.stderr.buffer

        async def answer(request: web.BaseRequest) -> web.Response:
            if request.path == READY:
                return web.Response()
            began = time.perf_counter()
            _, _, _, workflow_id, _, version = request.path.split("/")
            request_id = uuid_utils.uuid7().hex
            metadata = (("authorization", request.headers["Authorization"]), ("x-request-id", request_id))
            call = rpc(
                pb.GetVersionRequest(workflow_id=workflow_id, version=version),
                metadata=metadata,
                timeout=TIMEOUT_SECONDS,
            )
            body, trailers = write(await call), await call.trailing_metadata()
            headers = {"Content-Type": "application/json", "ETag": str(trailers["etag"]), "X-Request-Id": request_id}
            response = web.Response(body=body, headers=headers)
            took = round((time.perf_counter() - began) * 1000, 2)
            log.write(
                msgspec.json.encode({"request_id": request_id, "path": request.path, "duration_ms": took}) + b"\n"
            )
            log.flush()
            return response

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))

"""A minimal gateway on aiohttp and grpc.aio for reading a version, saving, reading an app and deploying.

It reads the request and sends token and request id in one RPC over one connection. It writes the answer as JSON with
the flow's bytes inserted and the service's ETag, and one log line. It has no other routes, checks, error envelope,
limits, retries, metrics or drain.

    python -m tests.load.peers.stripped_gateway PORT WORKFLOW_TARGET DEPLOY_TARGET
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import grpc
import uuid_utils
import uvloop
from aiohttp import web

from gateway.codec.encode import writer
from gateway.codec.request import from_body
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.load.peers.stripped_log import Line

TIMEOUT_SECONDS = 30
READY = "/ready"
SIZES = [("grpc.max_receive_message_length", -1)]
MOST_BYTES = 34 << 20


class Rpc:
    def __init__(self, channel: grpc.aio.Channel, path: str, request: Any, response: Any) -> None:
        self.call = channel.unary_unary(
            path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        self.write: Callable[[Any], bytes] = writer(response.DESCRIPTOR)


async def serve(port: int, workflow_target: str, deploy_target: str) -> None:
    async with (
        grpc.aio.insecure_channel(workflow_target, options=SIZES) as workflows,
        grpc.aio.insecure_channel(deploy_target, options=SIZES) as apps,
    ):
        versions, deploys = "/flowpin.workflow.v1.WorkflowService", "/flowpin.deploy.v1.DeployService"
        get = Rpc(workflows, f"{versions}/GetVersion", workflow_pb2.GetVersionRequest, workflow_pb2.GetVersionResponse)
        save = Rpc(
            workflows, f"{versions}/SaveWorkflow", workflow_pb2.SaveWorkflowRequest, workflow_pb2.SaveWorkflowResponse
        )
        get_app = Rpc(apps, f"{deploys}/GetApp", deploy_pb2.GetAppRequest, deploy_pb2.GetAppResponse)
        deploy = Rpc(apps, f"{deploys}/DeployApp", deploy_pb2.DeployAppRequest, deploy_pb2.DeployAppResponse)
        read_deploy = from_body(deploy_pb2.DeployAppRequest.DESCRIPTOR, ("app_id",))
        read_save = from_body(workflow_pb2.SaveWorkflowRequest.DESCRIPTOR, ("workflow_id",))

        async def answer(request: web.BaseRequest) -> web.Response:
            if request.path == READY:
                await asyncio.gather(workflows.channel_ready(), apps.channel_ready())
                return web.Response()
            line = Line()
            match request.path.split("/"):
                case [_, _, "workflows", workflow_id, "save"]:
                    rpc, message = save, read_save({"workflow_id": workflow_id}, await request.read())
                case [_, _, "workflows", workflow_id, _, version]:
                    rpc, message = get, workflow_pb2.GetVersionRequest(workflow_id=workflow_id, version=version)
                case [_, _, "apps", app_id, "deploy"]:
                    rpc, message = deploy, read_deploy({"app_id": app_id}, await request.read())
                case [_, _, "apps", app_id]:
                    rpc, message = get_app, deploy_pb2.GetAppRequest(app_id=app_id)
                case _:
                    return web.Response(status=404)
            request_id = uuid_utils.uuid7().hex
            metadata = (("authorization", request.headers["Authorization"]), ("x-request-id", request_id))
            call = rpc.call(message, metadata=metadata, timeout=TIMEOUT_SECONDS)
            body, trailers = rpc.write(await call), await call.trailing_metadata()
            headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
            if "etag" in trailers:
                headers["ETag"] = str(trailers["etag"])
            response = web.Response(body=body, headers=headers)
            line.write(request_id=request_id, path=request.path)
            return response

        def request_of(*parts: Any) -> web.BaseRequest:
            return web.BaseRequest(*parts, loop=asyncio.get_running_loop(), client_max_size=MOST_BYTES)

        runner = web.ServerRunner(web.Server(answer, request_factory=request_of))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

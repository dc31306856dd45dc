"""Invokes an app on behalf of a person. The live deployment runs as it does for a call over the app's HTTP listener."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from run_service.answering import answer_of
from run_service.errors import AppNotFound, NotImplementedYet, RoutesUnknown
from run_service.parts import Parts
from run_service.router.access import Target, find_live
from run_service.router.call_body import NO_FILES, Call, Fields, call_from, json_field, plain_field
from service_kit.access.caller import Caller
from service_kit.errors import MessageTooLarge
from service_kit.fields import optional
from service_kit.ids import new_id
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb

Request = pb.InvokeAppRequest | pb.TestWorkflowRequest | pb.TestVersionRequest

GIVEN = (
    "input",
    "stream",
    "execution_mode",
    "callbacks",
    "last_node_output",
    "user_id",
    "session_id",
    "chat_history",
)
"""The fields of a request that are part of the call."""


async def invoke_app(request: pb.InvokeAppRequest, caller: Caller, parts: Parts) -> AsyncGenerator[HttpBody, None]:
    """The answer's messages. Raises AppNotFound, InsufficientRole, NoSlot, NoReplica, or an error of `call_of`."""
    target = _target(request, caller, parts)
    with parts.replicas.bound(target.pin) as bound:
        call = call_of(request, parts)
        run_id = new_id()
        events = parts.calls.run(run_id, caller.request_id, target, bound, call)
        headers = {
            "X-Flowpin-Deployment": str(target.pin.deployment_id),
            "X-Flowpin-Version": f"v{target.pin.version_number}",
        }
        answer = answer_of(events, run_id, headers, run_seconds=parts.run_seconds, is_stream=call.is_stream)
        async with aclosing(answer):
            async for message in answer:
                yield message


def call_of(request: Request, parts: Parts) -> Call:
    """Raises InvalidFields, NotImplementedYet or MessageTooLarge."""
    if request.files:
        raise NotImplementedYet(NO_FILES)
    if request.ByteSize() - _flow_size(request) > parts.max_call_bytes:
        raise MessageTooLarge(f"The call is larger than {parts.max_call_bytes / (1 << 20):g} MiB.")
    fields: Fields = {
        field.name: plain_field(value) if field.message_type is None else json_field(field.name, value.utf8)
        for field, value in request.ListFields()
        if field.name in GIVEN
    }
    return call_from(fields)


def _flow_size(request: Request) -> int:
    return len(request.flow.utf8) if isinstance(request, pb.TestWorkflowRequest) else 0


def _target(request: pb.InvokeAppRequest, caller: Caller, parts: Parts) -> Target:
    app_id = UUID(request.app_id)
    if not parts.table.is_known:
        raise RoutesUnknown
    route = parts.table.route(app_id)
    if route is None or route.project_id not in caller.visible_projects:
        raise AppNotFound(app_id)
    caller.require(route.project_id)
    environment, pin = find_live(route, optional(request, "environment"))
    return Target(route, environment, pin, key=None, user_id=caller.id)

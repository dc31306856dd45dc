"""Each RPC of each contract is guarded by token, by role and by project."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import deploy_service.roles
import workflow_service.roles
from service_kit.access.file import Role
from service_kit.access.registry import AccessRegistry
from service_kit.fair_queue import FairQueue
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.routing.v1 import routing_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.serving.guard import Guard
from tests.support.paths import DATA
from tests.support.refusals import refusal
from tests.support.stack import FLOW, FLOW_UI, People, Stack

CONTRACTS = {
    identity_pb2: workflow_service,
    pb: workflow_service,
    deploy_pb2: deploy_service,
    routing_pb2: deploy_service,
}
RPCS: dict[str, tuple[MethodDescriptor, Any]] = {
    f"/{service.full_name}/{method.name}": (method, home)
    for contract, home in CONTRACTS.items()
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
WITHOUT_A_ROLE = {
    *("GetMe", "ListOrgs", "GetOrg", "ListProjects", "GetProject", "ListUsers", "Ping"),
    *("ValidateFlow", "ListNodeTypes", "ListRuntimes"),
}
READS = ("Get", "List", "Resolve", "Export", "Validate", "Diff", "Plan", "Ping", "Watch")
ADMINS_READ = {"ListAccessKeys", "ListAccessKeyAuditEvents", "ListRuntimeAuditEvents", "GetRuntimeLock"}
LEFT_OUT = {
    "ForkWorkflow": {"flow", "flow_ui"},
    "GetRuntimeLock": {"digest"},
    "WatchDeployments": {"project_id"},
}
"""What a request can hold and does not need, where it would rule another field out."""
OTHERWISE = {rpc: {"name": "NAME", "value": "value"} for rpc in ("GetVariable", "SetVariable", "DeleteVariable")}
"""What requests hold instead of what is known by the same name."""
OF_EVERY_PROJECT = {
    *("CreateRuntime", "UpdateRuntime", "GetRuntimeLock", "ListRuntimeAuditEvents"),
    *("WatchRoutes", "AcknowledgeRoutes"),
}
"""They name nothing of a project: a stranger is refused for the role. test_routes and a test below check it."""
RUNNERS = "RoutingService"
"""Takes a role of its own, also for what only reads."""
BAD_TOKENS = {
    "none": (),
    "empty": (("authorization", ""),),
    "a token without a scheme": (("authorization", "dyn_pat_x"),),
    "another scheme": (("authorization", "Basic dyn_pat_x"),),
    "a scheme without a token": (("authorization", "Bearer "),),
    "wrong": (("authorization", "Bearer dyn_pat_wrong"),),
}
HELD = {Role.VIEWER: "viewer", Role.EDITOR: "editor", Role.ADMIN: "admin", Role.RUNNER: "runner"}
"""A token by its role in the project."""
LOCK = "dynamiq==0.69.0\n"
UNKNOWN = "01980000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def known(shared_stack: Stack) -> dict[str, Any]:
    """The ids for requests. Each exists, in a project that the stranger does not see."""
    workflow, versions = await shared_stack.workflow(saves=2)
    app = await shared_stack.app(workflow["id"])
    key = {"project_id": str(shared_stack.people.project), "name": "key"}
    label = {"workflow_version_id": versions[0]["id"]}
    [runtime] = await shared_stack.ok("GET", "/v1/runtimes")
    await shared_stack.ok("PUT", f"/v1/runtimes/{runtime['id']}", {"lock": LOCK}, token="installer")
    await shared_stack.ok("PUT", f"/v1/workflows/{workflow['id']}/labels/name", label)
    async with shared_stack.database("admin", "deploy") as db:
        await db.execute(
            "INSERT INTO variables VALUES ($1, $2, 'NAME', 'production', true, $3, $4, now(), $1)",
            shared_stack.people.project,
            app["id"],
            bytes(8),
            bytes(28),
        )
    return {
        "org_id": str(shared_stack.people.org),
        "project_id": str(shared_stack.people.project),
        "workflow_id": workflow["id"],
        "workflow_version_id": versions[0]["id"],
        "version": "1",
        "other": "2",
        "app_id": app["id"],
        "deployment_id": app["latest_deployment_id"],
        "access_key_id": (await shared_stack.ok("POST", "/v1/access-keys", key))["id"],
        "name": "name",
        "flow": {"utf8": FLOW},
        "flow_ui": {"utf8": FLOW_UI},
        "runtime_id": runtime["id"],
        "health": deploy_pb2.DEPLOYMENT_HEALTH_GOOD,
        "label": "label",
        "lock": LOCK,
        "router_id": UNKNOWN,
        "digest": "0" * 64,
        "environment": "production",
        "config": (DATA / "config.yaml").read_text(),
    }


def request_of(method: MethodDescriptor, known: dict[str, Any]) -> Message:
    taken = {field.name for field in method.input_type.fields} - LEFT_OUT.get(method.name, set())
    known = known | OTHERWISE.get(method.name, {})
    return GetMessageClass(method.input_type)(**{name: value for name, value in known.items() if name in taken})


Call = Callable[..., Awaitable[Any]]
Counting = Callable[[], Awaitable[dict[str, int]]]


@pytest.fixture(scope="module")
async def row_counts(shared_stack: Stack) -> AsyncIterator[Counting]:
    async with shared_stack.counting_rows() as counting:
        yield counting


@pytest.fixture(scope="module")
async def call(shared_stack: Stack) -> AsyncIterator[Call]:
    """Calls an RPC of a service directly, without the gateway."""
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{shared_stack.workflow_port}") as workflows,
        grpc.aio.insecure_channel(f"127.0.0.1:{shared_stack.deploy_port}") as deploys,
    ):

        async def call(rpc: str, request: Message, metadata: Any) -> Any:
            method, home = RPCS[rpc]
            channel = workflows if home is workflow_service else deploys
            serializers = {
                "request_serializer": type(request).SerializeToString,
                "response_deserializer": GetMessageClass(method.output_type).FromString,
            }
            if method.server_streaming:
                return await channel.unary_stream(rpc, **serializers)(request, metadata=metadata).read()
            return await channel.unary_unary(rpc, **serializers)(request, metadata=metadata)

        yield call


def test_the_role_table_of_a_service_lists_exactly_its_rpcs():
    for home in (workflow_service, deploy_service):
        declared = {rpc for rpc, (_, of) in RPCS.items() if of is home}
        assert home.roles.ROLES.keys() == declared


def test_every_service_of_the_contracts_is_implemented():
    served: list[ServiceDescriptor] = [*workflow_service.roles.SERVICES, *deploy_service.roles.SERVICES]

    assert {service.full_name for service in served} == {rpc.split("/")[1] for rpc in RPCS}


def test_every_rpc_that_changes_something_needs_more_than_a_viewer():
    for rpc, (method, home) in RPCS.items():
        reads = method.name.startswith(READS) and method.name not in ADMINS_READ
        reads = reads and method.containing_service.name != RUNNERS
        assert (home.roles.ROLES.get(rpc) == Role.VIEWER) is reads, rpc


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_refuses_a_call_without_a_valid_token(
    shared_stack: Stack, row_counts: Counting, call: Call, known: dict[str, Any], rpc: str
):
    ended = {name: shared_stack.as_(name) for name in ("revoked", "expired")}
    before = await row_counts()

    for (name, metadata), request in itertools.product(
        (BAD_TOKENS | ended).items(),
        (request_of(RPCS[rpc][0], known), GetMessageClass(RPCS[rpc][0].input_type)()),
    ):
        error = await refusal(call(rpc, request, metadata))
        assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID"), name

    assert await row_counts() == before


@pytest.mark.parametrize(
    ("rpc", "token"),
    [
        (rpc, token)
        for rpc, (_, home) in RPCS.items()
        for role, token in HELD.items()
        if not role.covers(home.roles.ROLES.get(rpc, Role.VIEWER))
    ],
)
async def test_every_rpc_refuses_a_caller_with_a_too_small_role(
    shared_stack: Stack, row_counts: Counting, call: Call, known: dict[str, Any], rpc: str, token: str
):
    before = await row_counts()

    error = await refusal(call(rpc, request_of(RPCS[rpc][0], known), shared_stack.as_(token)))

    assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "ROLE_TOO_SMALL")
    assert await row_counts() == before


@pytest.mark.parametrize("token", ["stranger", "installer"])
@pytest.mark.parametrize(
    "rpc", [rpc for rpc, (method, _) in RPCS.items() if method.name not in WITHOUT_A_ROLE | OF_EVERY_PROJECT]
)
async def test_every_rpc_hides_a_project_from_strangers_and_operators(
    shared_stack: Stack, row_counts: Counting, call: Call, known: dict[str, Any], rpc: str, token: str
):
    method = RPCS[rpc][0]
    before = await row_counts()

    error = await refusal(call(rpc, request_of(method, known), shared_stack.as_(token)))
    nothing = known | {key: UNKNOWN for key in known if key.endswith("_id")}
    unknown = await refusal(call(rpc, request_of(method, nothing), shared_stack.as_(token)))

    assert error.code.name == "NOT_FOUND"
    assert (error.code, error.reason, error.message) == (unknown.code, unknown.reason, unknown.message)
    assert await row_counts() == before


@pytest.mark.parametrize("rpc", [rpc for rpc, (_, home) in RPCS.items() if home.roles.ROLES.get(rpc) == Role.VIEWER])
async def test_a_viewer_may_call_every_rpc_that_only_reads(
    shared_stack: Stack, call: Call, known: dict[str, Any], rpc: str
):
    request = request_of(RPCS[rpc][0], known)

    assert await call(rpc, request, shared_stack.as_("viewer"))


@pytest.mark.parametrize("rpc", [rpc for rpc, (_, home) in RPCS.items() if home.roles.ROLES.get(rpc) == Role.OPERATOR])
async def test_an_operator_manages_runtimes(shared_stack: Stack, call: Call, known: dict[str, Any], rpc: str):
    request = request_of(RPCS[rpc][0], known)

    assert await call(rpc, request, shared_stack.as_("installer"))


@pytest.fixture
async def streaming(people: People) -> AsyncIterator[Callable[..., Any]]:
    """A guarded service with one RPC of each of the four kinds. One of them is not in the role table."""
    served: list[str] = []

    async def unary(request: Any, context: Any) -> bytes:
        served.append("unary")
        return b"done"

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        served.append("stream")
        yield b"one"
        yield b"two"

    handlers = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(stream),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(unary),
        "StreamStream": grpc.stream_stream_rpc_method_handler(stream),
        "Unlisted": grpc.unary_stream_rpc_method_handler(stream),
    }
    roles = {f"/test.Streams/{name}": Role.VIEWER for name in handlers if name != "Unlisted"}
    server = grpc.aio.server()
    guarded = Guard(AccessRegistry(people.path), roles, FairQueue(10)).before(server)
    guarded.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Streams", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def ask(name: str, metadata: Any) -> list[bytes]:
            served.clear()
            answered = asyncio.Event()

            async def silence() -> AsyncIterator[bytes]:
                # grpc.aio raises its own error for a write after the refusal.
                await answered.wait()
                return
                yield b""

            kind = {"UnaryUnary": "unary_unary", "StreamUnary": "stream_unary", "StreamStream": "stream_stream"}
            rpc = getattr(channel, kind.get(name, "unary_stream"))(f"/test.Streams/{name}")
            answer = rpc(silence() if name.startswith("Stream") else b"a", metadata=metadata)
            try:
                return [await answer] if name.endswith("Unary") else [part async for part in answer]
            finally:
                answered.set()

        yield ask, served
    await server.stop(0)


@pytest.fixture
def people(tmp_path: Any) -> People:
    people = People(tmp_path / "access.yaml")
    people.write()
    return people


@pytest.mark.parametrize("kind", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"])
async def test_streaming_rpcs_are_guarded(people: People, streaming: Any, kind: str):
    ask, served = streaming
    ended = {name: (("authorization", f"Bearer {people.secret(name)}"),) for name in ("revoked", "expired")}

    for metadata in (BAD_TOKENS | ended).values():
        error = await refusal(ask(kind, metadata))
        assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
        assert served == []
    answer = await ask(kind, (("authorization", f"Bearer {people.secret('viewer')}"),))
    assert answer == ([b"done"] if kind.endswith("Unary") else [b"one", b"two"])


async def test_no_role_may_call_an_rpc_without_an_entry_in_the_role_table(people: People, streaming: Any):
    ask, served = streaming

    error = await refusal(ask("Unlisted", (("authorization", f"Bearer {people.secret('admin')}"),)))

    assert error.code.name == "PERMISSION_DENIED"
    assert served == []

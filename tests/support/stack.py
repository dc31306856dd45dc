"""The three services in this process, on a database of their own."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import yaml
from pydantic import SecretStr

import deploy_service
import deploy_service.service
import deploy_service.settings
import flowpin_cli
import gateway.server
import gateway.settings
import workflow_service
import workflow_service.service
import workflow_service.settings
from service_kit import db
from service_kit.access.file import TOKEN_PREFIX, hash_token
from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.databases import fresh_database

EXAMPLE = Path(flowpin_cli.__file__).parent
FLOW = (EXAMPLE / "example_flow.json").read_bytes()
FLOW_UI = (EXAMPLE / "example_flow_ui.json").read_bytes()
NUMBERED_LATER = "deployment_feeds"
"""A table in which the deploy service numbers the events of deployments, shortly after a deploy."""


@dataclass(frozen=True)
class People:
    """The access file's people. Tokens by name: admin, editor, viewer (of `project` and `staged`), stranger (admin of
    `foreign`, in another org), operator (admin too), installer (operator and nothing else), service and runner (a
    service account), expired, revoked."""

    path: Path
    org: UUID = field(default_factory=new_id)
    foreign_org: UUID = field(default_factory=new_id)
    project: UUID = field(default_factory=new_id)
    """One environment, production."""
    staged: UUID = field(default_factory=new_id)
    """staging, then production."""
    foreign: UUID = field(default_factory=new_id)
    user: UUID = field(default_factory=new_id)

    def secret(self, name: str) -> str:
        return f"{TOKEN_PREFIX}{name}-{self.user}"

    def declared(self) -> dict[str, Any]:
        account = new_id()
        now = datetime.now(UTC)

        def token(name: str, roles: Mapping[UUID, str], user: UUID = self.user, **more: Any) -> dict[str, Any]:
            digest = hash_token(self.secret(name))
            held = {str(scope): role for scope, role in roles.items()}
            return {"id": f"tok_{name}", "user": str(user), "sha256": digest, "roles": held, **more}

        return {
            "orgs": [{"id": str(self.org), "name": "acme"}, {"id": str(self.foreign_org), "name": "globex"}],
            "projects": [
                {"id": str(self.project), "name": "one", "org_id": str(self.org)},
                {
                    "id": str(self.staged),
                    "name": "two",
                    "org_id": str(self.org),
                    "environments": ["staging", "production"],
                },
                {"id": str(self.foreign), "name": "theirs", "org_id": str(self.foreign_org)},
            ],
            "users": [
                {"id": str(self.user), "email": "ada@acme.test", "first_name": "Ada", "last_name": "Lovelace"},
                {"id": str(account), "name": "robot", "service": True},
            ],
            "tokens": [
                token("admin", {self.org: "admin"}),
                token("editor", {self.project: "editor", self.staged: "editor"}),
                token("viewer", {self.project: "viewer", self.staged: "viewer"}),
                token("stranger", {self.foreign: "admin"}),
                token("operator", {self.org: "admin"}, operator=True),
                token("installer", {}, operator=True),
                token("service", {self.org: "viewer", self.foreign_org: "viewer"}, user=account),
                token("runner", {self.org: "runner", self.foreign_org: "runner"}, user=account),
                token("expired", {self.org: "admin"}, expires_at=now - timedelta(minutes=1)),
                token("revoked", {self.org: "admin"}, revoked_at=now - timedelta(minutes=1)),
            ],
        }

    def write(self, declared: dict[str, Any] | None = None) -> None:
        self.path.write_text(yaml.safe_dump(declared or self.declared(), sort_keys=False))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def error(self) -> Any:
        return self.body["error"]

    @property
    def refusal(self) -> tuple[int, str, set[str]]:
        """Status, reason and the names of the fields."""
        details = self.error["details"]
        return self.status, details["reason"], details.keys() - {"reason"}


@dataclass
class Stack:
    people: People
    urls: Mapping[str, str]
    """Database URLs by role. `admin` is the superuser's."""
    schemas: Mapping[str, str] = field(default_factory=lambda: {"workflow": "workflow", "deploy": "deploy"})
    """Schemas by service."""
    workflow_port: int = 0
    deploy_port: int = 0
    gateway_port: int = 0
    session: aiohttp.ClientSession = None  # type: ignore[assignment]  # set while it runs
    workflows: WorkflowServiceStub = None  # type: ignore[assignment]
    identity: IdentityServiceStub = None  # type: ignore[assignment]
    deploys: DeployServiceStub = None  # type: ignore[assignment]
    running_workflow_service: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def stop_workflow_service(self) -> None:
        await self.running_workflow_service.aclose()

    async def start_workflow_service(self, **settings: Any) -> None:
        """Start the workflow service. A second start uses the same port."""
        service = workflow_service_of(self, self.workflow_port, **settings)
        self.workflow_port = await self.running_workflow_service.enter_async_context(service)

    def as_(self, name: str = "admin", **metadata: str) -> tuple[tuple[str, str], ...]:
        """Metadata of a gRPC call: a token of `people`, and further entries with - for _ in their names."""
        more = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        return (("authorization", f"Bearer {self.people.secret(name)}"), *more)

    async def rest(
        self, method: str, path: str, body: Any = None, *, token: str | None = "admin", headers: Any = None
    ) -> Answer:
        """One call through the gateway. `body` is JSON, or bytes to send unchanged. `token` None sends no token."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {self.people.secret(token)}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(
            method, f"http://127.0.0.1:{self.gateway_port}{path}", data=content, headers=sent
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The `data` of a call that must succeed."""
        answer = await self.rest(method, path, body, **options)
        assert answer.status < 300, (method, path, answer.status, answer.content[:2000])
        return answer.body.get("data")

    @asynccontextmanager
    async def database(self, role: str, service: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection to a service's schema, as `admin` or as the role of this name."""
        connection = await asyncpg.connect(self.urls[role], server_settings={"search_path": self.schemas[service]})
        await db.read_json_as_bytes(connection)
        try:
            yield connection
        finally:
            await connection.close()

    async def row_counts(self) -> dict[str, int]:
        """Rows in every table of both services, by `service.table`, without those that a background task adds."""
        async with self.counting_rows() as row_counts:
            return await row_counts()

    @asynccontextmanager
    async def counting_rows(self) -> AsyncIterator[Callable[[], Awaitable[dict[str, int]]]]:
        """`row_counts` on one connection, for tests that call it hundreds of times."""
        services = {schema: service for service, schema in self.schemas.items()}
        async with self.database("admin", "workflow") as connection:
            tables = await connection.fetch(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", list(services)
            )
            counts = [
                f"SELECT '{services[schema]}.{table}', count(*) FROM {schema}.{table}"
                for schema, table in tables
                if table != NUMBERED_LATER
            ]
            statement = " UNION ALL ".join(counts)

            async def row_counts() -> dict[str, int]:
                return dict(await connection.fetch(statement))

            yield row_counts

    # What most tests need first.

    async def draft(self, name: str = "flow", project: UUID | None = None, **options: Any) -> Any:
        body = {
            "name": name,
            "project_id": str(project or self.people.project),
            "flow": json.loads(FLOW),
            "flow_ui": json.loads(FLOW_UI),
        }
        return await self.ok("POST", "/v1/workflows", body, **options)

    async def save(self, workflow_id: str, note: str = "", **options: Any) -> Any:
        """Append a version. Another `note` gives another flow."""
        flow = {**json.loads(FLOW), "note": note}
        body = {"flow": flow, "flow_ui": json.loads(FLOW_UI), "description": note}
        return await self.ok("POST", f"/v1/workflows/{workflow_id}/save", body, **options)

    async def workflow(self, saves: int = 1, **options: Any) -> tuple[Any, list[Any]]:
        """A workflow and its versions, oldest first."""
        workflow = await self.draft(**options)
        return workflow, [await self.save(workflow["id"], f"save {number}") for number in range(1, saves + 1)]

    async def app(self, workflow_id: str, **fields: Any) -> Any:
        body = {"name": "app", "project_id": str(self.people.project), "workflow_id": workflow_id, **fields}
        return await self.ok("POST", "/v1/apps", body)

    async def deploy(self, app_id: str, workflow_id: str, headers: Any = None, **fields: Any) -> Any:
        body = {"workflow_id": workflow_id, **fields}
        return await self.ok("POST", f"/v1/apps/{app_id}/deploy", body, headers=headers)


@asynccontextmanager
async def fresh_stack(database_urls: Mapping[str, str], folder: Path) -> AsyncIterator[Stack]:
    """A stack that is not started, on a database of its own."""
    people = People(folder / "access.yaml")
    people.write()
    async with fresh_database(database_urls) as urls:
        yield Stack(people, urls)


@asynccontextmanager
async def workflow_service_of(stack: Stack, port: int = 0, **settings: Any) -> AsyncIterator[int]:
    """Only the workflow service. Tests that restart it pass its port."""
    chosen = workflow_service.settings.Settings(
        listen=f"127.0.0.1:{port}",
        database_url=SecretStr(stack.urls["flowpin_workflow"]),
        access_file=stack.people.path,
        drain_seconds=0,
        **settings,
    )
    async with workflow_service.service.running_workflow_service(chosen, stack.schemas["workflow"]) as bound:
        yield bound


@asynccontextmanager
async def deploy_service_of(stack: Stack, port: int = 0, **settings: Any) -> AsyncIterator[int]:
    """Only the deploy service, which calls the stack's workflow service. Most tests inspect rollouts in progress."""
    settings = {"wait_seconds": 0, "drain_seconds": 0, **settings}
    chosen = deploy_service.settings.Settings(
        listen=f"127.0.0.1:{port}",
        database_url=SecretStr(stack.urls["flowpin_deploy"]),
        access_file=stack.people.path,
        workflow_target=f"127.0.0.1:{stack.workflow_port}",
        workflow_token=SecretStr(stack.people.secret("service")),
        **settings,
    )
    async with deploy_service.service.running_deploy_service(chosen, stack.schemas["deploy"]) as bound:
        yield bound


@asynccontextmanager
async def running_stack(
    stack: Stack,
    *,
    workflow: Mapping[str, Any] | None = None,
    deploy: Mapping[str, Any] | None = None,
    front: Mapping[str, Any] | None = None,
) -> AsyncIterator[Stack]:
    """Start all three on `stack`'s schemas. `workflow`, `deploy` and `front` (the gateway's) are their settings."""
    async with AsyncExitStack() as running:
        running.push_async_callback(stack.stop_workflow_service)
        await stack.start_workflow_service(**(workflow or {}))
        stack.deploy_port = await running.enter_async_context(deploy_service_of(stack, **(deploy or {})))
        settings = gateway.settings.Settings(
            listen="127.0.0.1:0",
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            drain_seconds=0,
            **(front or {}),
        )
        stack.gateway_port = await running.enter_async_context(gateway.server.running_gateway(settings))
        workflow_channel = await running.enter_async_context(open_channel(f"127.0.0.1:{stack.workflow_port}"))
        deploy_channel = await running.enter_async_context(open_channel(f"127.0.0.1:{stack.deploy_port}"))
        stack.session = await running.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        stack.workflows = WorkflowServiceStub(workflow_channel)
        stack.identity = IdentityServiceStub(workflow_channel)
        stack.deploys = DeployServiceStub(deploy_channel)
        yield stack

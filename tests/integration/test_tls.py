"""TLS of listeners and channels: trusted certificates, and certificates renewed under load."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import trustme
from structlog.testing import capture_logs

from service_kit import tls
from service_kit.channel import open_channel
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.identity.v1.identity_pb2_grpc import IdentityServiceStub
from service_kit.tls import ChannelTls, ListenerTls, TlsError, TlsFiles
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually
from tests.support.workflows import body_of

pytestmark = pytest.mark.slow


NAME = "flowpin.test"


class Authority:
    """Issues certificates into a folder, each with a new key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *hosts: str, **options: Any) -> Mapping[str, Path]:
        certificate = self.authority.issue_cert(*(hosts or (NAME, "127.0.0.1")), **options)
        paths = {"cert": self.folder / f"{name}.pem", "key": self.folder / f"{name}-key.pem"}
        paths["cert"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(paths["key"])
        return paths

    def context(self, **client: Path) -> ssl.SSLContext:
        """The TLS context of a client, with a certificate when `cert` and `key` are given."""
        context = ssl.create_default_context(cafile=self.ca)
        if client:
            context.load_cert_chain(client["cert"], client["key"])
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def encrypted_stack(stack: Stack, authority: Authority, *, mutual: bool = False) -> AsyncIterator[Stack]:
    """A stack whose listeners and channels use TLS. With `mutual`, callers of the two services need a certificate."""
    server, client = authority.issue("server"), authority.issue("client", "gateway.flowpin.test")
    listener = {"tls_cert": server["cert"], "tls_key": server["key"]}
    service = {**listener, **({"tls_client_ca": authority.ca} if mutual else {})}
    channel = {"tls_ca": authority.ca, "tls_server_name": NAME}
    if mutual:
        channel |= {"tls_channel_cert": client["cert"], "tls_channel_key": client["key"]}
    async with running_stack(
        stack, workflow=service, deploy={**service, **channel}, front={**listener, **channel}
    ) as running:
        yield running


async def me(stack: Stack, context: ssl.SSLContext, host: str = "127.0.0.1") -> int:
    """The status of a call over a new connection."""
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    headers = {"Authorization": f"Bearer {stack.people.secret('editor')}"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"https://{host}:{stack.gateway_port}/v1/me", headers=headers) as answer,
    ):
        return answer.status


async def serial_number(stack: Stack, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that the gateway presents."""
    _, writer = await asyncio.open_connection("127.0.0.1", stack.gateway_port, ssl=context)
    writer.close()
    certificate = writer.get_extra_info("peercert")
    return certificate["serialNumber"]


async def is_answered(port: int, files: TlsFiles, stack: Stack, name: str | None = NAME) -> bool:
    async with open_channel(f"127.0.0.1:{port}", tls=ChannelTls(files, name)) as channel:
        try:
            await IdentityServiceStub(channel).GetMe(
                identity_pb2.GetMeRequest(), metadata=stack.as_("editor"), timeout=2
            )
        except grpc.aio.AioRpcError:
            return False
    return True


@pytest.mark.parametrize("mutual", [False, True])
async def test_saving_deploying_and_rolling_back_work_over_tls(unstarted: Stack, authority: Authority, mutual: bool):
    async with encrypted_stack(unstarted, authority, mutual=mutual) as stack:
        assert await me(stack, authority.context()) == 200

        async with aiohttp.ClientSession(
            f"https://127.0.0.1:{stack.gateway_port}",
            connector=aiohttp.TCPConnector(ssl=authority.context()),
            headers={"Authorization": f"Bearer {stack.people.secret('editor')}"},
        ) as session:
            project = str(stack.people.project)
            answer = await session.post("/v1/workflows", data=body_of(name="a", project_id=project))
            workflow = (await answer.json())["data"]["id"]
            answer = await session.post(f"/v1/workflows/{workflow}/save", data=body_of())
            assert answer.status == 200
            # The deploy service calls the workflow service.
            answer = await session.post("/v1/apps", json={"name": "a", "project_id": project, "workflow_id": workflow})
            assert answer.status == 201, await answer.text()


async def test_callers_accept_only_certificates_of_their_authority_and_host_name(
    unstarted: Stack, authority: Authority, tmp_path: Path
):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Authority(other_folder)
    async with encrypted_stack(unstarted, authority) as stack:
        port = stack.workflow_port

        assert await is_answered(port, TlsFiles(ca=authority.ca), stack)
        assert not await is_answered(port, TlsFiles(ca=other.ca), stack)
        assert not await is_answered(port, TlsFiles(ca=authority.ca), stack, "elsewhere.test")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await me(stack, other.context())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await me(stack, authority.context(), "localhost")


async def test_a_service_with_mutual_tls_refuses_callers_without_a_valid_certificate(
    unstarted: Stack, authority: Authority, tmp_path: Path
):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    good, foreign = authority.issue("good"), Authority(other_folder).issue("foreign")
    async with encrypted_stack(unstarted, authority, mutual=True) as stack:
        port, ca = stack.workflow_port, authority.ca

        assert await is_answered(port, TlsFiles(good["cert"], good["key"], ca), stack)
        assert not await is_answered(port, TlsFiles(ca=ca), stack)
        assert not await is_answered(port, TlsFiles(foreign["cert"], foreign["key"], ca), stack)


async def test_an_http_listener_with_mutual_tls_refuses_callers_without_a_valid_certificate(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.05)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Authority(other_folder)
    server, good, foreign = authority.issue("server"), authority.issue("good"), other.issue("foreign")
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(authority.ca.read_bytes())

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def answer_to(**client: Path) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority.context(**client))
        try:
            return await reader.read()  # in TLS 1.3 the handshake of the client ends before it is refused
        except (ssl.SSLError, ConnectionError):
            return b""
        finally:
            writer.close()

    async def are_new_ones_good() -> bool:
        return await answer_to(**foreign) == b"hello" and await answer_to(**good) == b""

    async with (
        tls.listener_tls(TlsFiles(server["cert"], server["key"], client_ca)) as listener,
        await asyncio.start_server(hello, "127.0.0.1", 0, ssl=listener.context) as serving,
    ):
        port = serving.sockets[0].getsockname()[1]
        assert await answer_to(**good) == b"hello"
        assert await answer_to(**foreign) == b""
        assert await answer_to() == b""

        client_ca.write_bytes(other.ca.read_bytes())

        await eventually(are_new_ones_good)
        assert await answer_to() == b""


async def test_an_expired_certificate_is_not_trusted(unstarted: Stack, authority: Authority):
    async with encrypted_stack(unstarted, authority) as stack:
        # The next handshake uses the new files.
        authority.issue("server", not_after=trustme.datetime.datetime(2020, 1, 1))

        async def is_refused() -> bool:
            try:
                await me(stack, authority.context())
            except aiohttp.ClientConnectorCertificateError:
                return True
            return False

        await eventually(is_refused)


async def test_renewing_certificates_drops_no_call(
    unstarted: Stack, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.1)
    context = authority.context()
    statuses: list[int] = []

    async def calling(stack: Stack, session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(
                f"https://127.0.0.1:{stack.gateway_port}/v1/me",
                headers={"Authorization": f"Bearer {stack.people.secret('editor')}"},
            ) as answer:
                statuses.append(answer.status)

    async with (
        encrypted_stack(unstarted, authority, mutual=True) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as kept,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True)) as fresh,
        asyncio.TaskGroup() as tasks,
    ):
        callers = [tasks.create_task(calling(stack, session)) for session in (kept, fresh, fresh)]
        for _ in range(3):
            serial = await serial_number(stack, context)
            authority.issue("server")
            authority.issue("client", "gateway.flowpin.test")

            async def is_renewed(old: str = serial) -> bool:
                return await serial_number(stack, context) != old

            await eventually(is_renewed)
        for caller in callers:
            caller.cancel()

    assert len(statuses) > 5
    assert set(statuses) == {200}


async def test_the_last_good_certificate_is_used_when_new_files_are_broken(
    unstarted: Stack, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.1)
    async with encrypted_stack(unstarted, authority) as stack:
        (authority.folder / "server-key.pem").write_text("no key")
        await asyncio.sleep(0.5)

        assert await me(stack, authority.context()) == 200
        assert await is_answered(stack.workflow_port, TlsFiles(ca=authority.ca), stack)


def test_unusable_tls_files_are_named_without_their_content(authority: Authority, tmp_path: Path):
    paths = authority.issue("server")
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")

    for files in (
        TlsFiles(paths["cert"], wrong),
        TlsFiles(paths["cert"], tmp_path / "nowhere.pem"),
        TlsFiles(paths["key"], paths["key"]),
        TlsFiles(paths["cert"], authority.issue("another")["key"]),
    ):
        with pytest.raises(TlsError) as caught:
            ListenerTls(files)
        assert str(files.key) in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("listen", "warns"), [("0.0.0.0:1", True), ("[::]:1", True), ("flowpin.test:1", True), ("127.0.0.1:1", False)]
)
def test_a_listener_without_tls_on_a_network_is_named_in_the_log(listen: str, warns: bool):
    with capture_logs() as logs:
        tls.warn_without_tls(listen, None)

    assert [line["event"] for line in logs] == ["listener_not_encrypted"] * warns


async def test_the_health_check_of_containers_uses_tls(unstarted: Stack, authority: Authority):
    async with encrypted_stack(unstarted, authority) as stack:
        at = f"127.0.0.1:{stack.workflow_port}"

        async def exit_code(*words: str) -> int:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "service_kit.healthcheck", *words)
            return await process.wait()

        assert await exit_code(at, str(authority.ca), NAME) == 0
        assert await exit_code(at, str(authority.ca), "elsewhere.test") == 1
        assert await exit_code(at) == 1


async def test_callers_that_never_finish_the_tls_handshake_do_not_use_up_limits(unstarted: Stack, authority: Authority):
    server = authority.issue("server")
    front = {"tls_cert": server["cert"], "tls_key": server["key"], "max_connections": 4, "head_seconds": 30}
    async with running_stack(unstarted, front=front) as stack:
        silent = [socket.create_connection(("127.0.0.1", stack.gateway_port)) for _ in range(20)]

        status = await me(stack, authority.context())

        assert status == 200
        for connection in silent:
            connection.close()

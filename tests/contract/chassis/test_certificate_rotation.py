"""Rotation of certificates and CAs on disk: clients and servers go on without a restart. Real sockets, mutual TLS."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from hocket.ratelimit.v1 import ratelimit_pb2, ratelimit_pb2_grpc
from prometheus_client import REGISTRY

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import ClientTls, MeshChannel
from hocket.chassis.reloading_channel import ReloadingChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.chassis.status import mesh_errors
from hocket.client.ratelimit import RateLimitClient
from services.llm_router.adapters.mesh import rate_limits
from tests.fakes.authority import Authority
from tests.fakes.waiting import DEADLINE_S, POLL_S, until

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", caller="test")
NAME = "hocket.ratelimit.v1.RateLimitService"


class Limits(ratelimit_pb2_grpc.RateLimitServiceServicer):
    """Admits everything; a stream echoes each batch with its number of spends."""

    async def Check(self, request, context):
        return ratelimit_pb2.CheckResponse(admitted=True)

    async def CheckStream(self, request_iterator, context):
        async for request in request_iterator:
            yield ratelimit_pb2.CheckStreamResponse(batch_id=request.batch_id)


class Files:
    """The PEM files of a server and a client on disk, as a platform mounts and rotates them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.issues = 0
        names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
        self.ca, self.server_cert, self.server_key, self.client_cert, self.client_key = (folder / n for n in names)
        self.rotate()

    @property
    def tls(self) -> ClientTls:
        return ClientTls(self.ca, self.client_cert, self.client_key)

    def new_issue(self) -> Path:
        """Return a folder with files of the same names from a new authority."""
        self.issues += 1
        authority = Authority(self.folder / f"issue-{self.issues}")
        authority.issue("server")
        authority.issue("client")
        return authority.folder

    def rotate(self, issue: Path | None = None) -> None:
        """Replace all files, the CA too."""
        issue = issue or self.new_issue()
        for path in (self.ca, self.server_key, self.server_cert, self.client_key, self.client_cert):
            shutil.copy(issue / path.name, path)


@pytest.fixture
def files(tmp_path) -> Files:
    return Files(tmp_path)


async def started(files: Files, port: int = 0) -> MeshServer:
    settings = ServerSettings(
        jwt_secret=SECRET,
        grpc_port=port,
        drain_grace_s=0,
        tls_cert_file=files.server_cert,
        tls_key_file=files.server_key,
        tls_client_ca_file=files.ca,
    )
    add = Servicer(NAME, lambda s: ratelimit_pb2_grpc.add_RateLimitServiceServicer_to_server(Limits(), s))
    server = MeshServer("chassis_rotation", settings, Assembly([add]))
    await server.start()
    return server


def channel_to(server: MeshServer, files: Files) -> MeshChannel:
    return MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN, tls=files.tls)


def reloading(channel: MeshChannel) -> ReloadingChannel:
    """Return the channel that reloads, below others that wrap it."""
    inner: Any = channel.channel
    while not isinstance(inner, ReloadingChannel):
        inner = inner._channel
    return inner


async def disconnected(channel: MeshChannel) -> None:
    # The channel inside: the state of the outer one would read the files and reconnect to the stopped server.
    inner = reloading(channel)._channel
    await until(lambda: inner.get_state() is not grpc.ChannelConnectivity.READY)


async def opened_stream(channel: MeshChannel) -> Any:
    """Return a running CheckStream."""
    stream: Any = ratelimit_pb2_grpc.RateLimitServiceStub(channel.channel).CheckStream(**channel.options(DEADLINE_S))
    await stream.write(ratelimit_pb2.CheckStreamRequest(batch_id=1))
    assert (await stream.read()).batch_id == 1
    return stream


def unavailable_count() -> float:
    return REGISTRY.get_sample_value("hocket_limiter_unavailable_total", {"operation": "check"}) or 0.0


async def test_calls_and_limits_go_on_after_all_files_rotated_and_the_server_restarted(files, monkeypatch):
    # The product's 0.15 s would count a slow machine as an unavailable limiter.
    monkeypatch.setattr(rate_limits, "TIMEOUT_S", DEADLINE_S)
    server = await started(files)
    async with channel_to(server, files) as channel:
        client = RateLimitClient(channel)
        limits = rate_limits.MeshRateLimits(client)
        await client.check([], timeout_s=DEADLINE_S)
        before = unavailable_count()
        for _ in range(3):
            files.rotate()
            await server.stop()
            await disconnected(channel)
            server = await started(files, server.grpc_port)
            # The first call after the reconnect succeeds.
            assert (await client.check([], timeout_s=DEADLINE_S)).admitted
            await limits.require_request(1)
        assert unavailable_count() == before
    await server.stop()


async def test_a_running_stream_outlives_a_rotation_and_new_calls_use_the_new_certificate(files):
    server = await started(files)
    async with channel_to(server, files) as channel:
        stream = await opened_stream(channel)
        old = reloading(channel).current()
        files.rotate()
        client = RateLimitClient(channel)
        async with asyncio.timeout(DEADLINE_S):
            while reloading(channel).current() is old:
                # Each call succeeds, on the old connection until the new one is ready.
                assert (await client.check([], timeout_s=DEADLINE_S)).admitted
                await asyncio.sleep(POLL_S)
        await stream.write(ratelimit_pb2.CheckStreamRequest(batch_id=2))
        assert (await stream.read()).batch_id == 2
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        # The old channel closes with its last call.
        await until(lambda: not reloading(channel)._drains)
        assert (await client.check([], timeout_s=DEADLINE_S)).admitted
    await server.stop()


async def test_a_closed_channel_cancels_the_calls_of_its_earlier_certificates(files):
    server = await started(files)
    channel = channel_to(server, files)
    stream = await opened_stream(channel)
    old = reloading(channel).current()
    files.rotate()
    await until(lambda: reloading(channel).current() is not old)
    await channel.close()
    assert stream.cancelled()
    with pytest.raises(grpc.aio.UsageError):
        await RateLimitClient(channel).check([], timeout_s=DEADLINE_S)
    await server.stop()


async def test_half_written_and_mismatched_files_keep_the_old_pair_and_are_logged_once(files):
    server = await started(files)
    issue = files.new_issue()
    async with channel_to(server, files) as channel:
        client = RateLimitClient(channel)
        await client.check([], timeout_s=DEADLINE_S)
        with structlog.testing.capture_logs() as logs:
            # The key is the old one, then the certificate is cut.
            for content in ((issue / "client.pem").read_bytes(), (issue / "client.pem").read_bytes()[:200]):
                files.client_cert.write_bytes(content)
                files.server_cert.write_bytes(content)
                reloading(channel)._files.current(age_max_s=0)
                for _ in range(3):
                    # Each new connection makes the server compare its files, too.
                    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN, tls=files.tls) as other:
                        assert (await RateLimitClient(other).check([], timeout_s=DEADLINE_S)).admitted
                assert (await client.check([], timeout_s=DEADLINE_S)).admitted
        problems = [entry["problem"] for entry in logs if entry["event"].startswith("certificates not reloaded")]
        assert sorted(problems) == sorted(
            problem
            for key, cert in ((files.client_key, files.client_cert), (files.server_key, files.server_cert))
            for problem in (
                f"{key} is not the key of {cert}; write both files of one issue",
                f"{cert} holds no PEM certificate, or a cut one; write it complete with its last line",
            )
        )
        files.rotate(issue)
        await server.stop()
        await disconnected(channel)
        server = await started(files, server.grpc_port)
        assert (await client.check([], timeout_s=DEADLINE_S)).admitted
    await server.stop()


async def test_the_server_refuses_clients_of_a_withdrawn_ca(files):
    server = await started(files)
    withdrawn = files.folder / "withdrawn"
    withdrawn.mkdir()
    cert, key = withdrawn / "client.pem", withdrawn / "client.key"
    shutil.copy(files.client_cert, cert)
    shutil.copy(files.client_key, key)
    async with MeshChannel(
        f"127.0.0.1:{server.grpc_port}", lambda: TOKEN, tls=ClientTls(files.ca, cert, key)
    ) as channel:
        await RateLimitClient(channel).check([], timeout_s=DEADLINE_S)
    files.rotate()
    # The client trusts the new CA; the server does not trust the client's certificate any more.
    async with MeshChannel(
        f"127.0.0.1:{server.grpc_port}", lambda: TOKEN, tls=ClientTls(files.ca, cert, key)
    ) as channel:
        with pytest.raises(errors.Unavailable), mesh_errors():
            await RateLimitClient(channel).check([], timeout_s=DEADLINE_S)
    async with channel_to(server, files) as channel:
        assert (await RateLimitClient(channel).check([], timeout_s=DEADLINE_S)).admitted
    await server.stop()


async def test_a_client_that_rotated_before_its_server_keeps_its_connection(files):
    server = await started(files)
    async with channel_to(server, files) as channel:
        client = RateLimitClient(channel)
        await client.check([], timeout_s=DEADLINE_S)
        old_server = {path: path.read_bytes() for path in (files.server_cert, files.server_key)}
        files.rotate()
        for path, content in old_server.items():
            path.write_bytes(content)
        await until(lambda: reloading(channel).current() and reloading(channel)._next)
        replacement = reloading(channel)._next
        assert replacement
        await until(lambda: replacement.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        assert (await client.check([], timeout_s=DEADLINE_S)).admitted
    await server.stop()


def test_wrong_files_end_the_start_with_their_names(files, tmp_path):
    other = Authority(tmp_path / "other").issue("client")[1]
    with pytest.raises(OSError, match=r"other/client\.key is not the key of .*client\.pem"):
        ClientTls(files.ca, files.client_cert, other).files()
    with pytest.raises(OSError, match=r"client\.key holds no PEM certificate"):
        ClientTls(files.client_key).files()
    with pytest.raises(OSError, match=r"client\.pem is not a PEM private key"):
        ClientTls(files.ca, files.client_cert, files.client_cert).files()


def test_a_process_that_starts_in_the_middle_of_a_rotation_waits_for_the_rest(files, monkeypatch):
    issue = files.new_issue()
    shutil.copy(issue / "client.pem", files.client_cert)
    monkeypatch.setattr("hocket.chassis.certificates.time.sleep", lambda _: files.rotate(issue))
    assert files.tls.files().current().cert == (issue / "client.pem").read_bytes()

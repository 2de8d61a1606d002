"""Expired certificates: named by /readyz, the gauge of their expiry, and `--check-config`."""

from __future__ import annotations

import json

import aiohttp
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from hocket.chassis import certificate_expiry
from hocket.chassis.channel import MeshChannel
from hocket.chassis.file_checks import file_problems
from hocket.chassis.server import Assembly, MeshServer
from hocket.chassis.settings import ServerSettings
from tests.fakes.authority import Authority
from tests.fakes.waiting import DEADLINE_S


@pytest.fixture(autouse=True)
def _files_compared_each_time(monkeypatch):
    monkeypatch.setattr(certificate_expiry, "AGE_S_MAX", 0)


async def readyz(server: MeshServer) -> tuple[int, dict[str, str]]:
    await server.readiness.refresh()
    url = f"http://127.0.0.1:{server.ops_port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, json.loads(await response.text())["problems"]


def expiry(certificate: str) -> float | None:
    return REGISTRY.get_sample_value("hocket_certificate_expiry_timestamp_seconds", {"certificate": certificate})


@pytest.mark.parametrize(
    ("settings", "name"),
    [(("tls_cert_file", "tls_key_file"), "server"), (("peer_cert_file", "peer_key_file"), "client")],
)
async def test_readiness_names_an_expired_certificate_until_it_is_replaced(tmp_path, settings, name):
    authority = Authority(tmp_path)
    cert, key = authority.issue("own", lifetime_s=-60)
    ca = {"peer_ca_file": authority.ca_file} if name == "client" else {}
    files = dict(zip(settings, (cert, key), strict=True))
    server = MeshServer("chassis_expiry", ServerSettings(drain_grace_s=0, **files, **ca), Assembly([]))
    await server.start()
    status, problems = await readyz(server)
    assert status == 503
    assert list(problems) == ["certificates"]
    assert f"{name} certificate {cert} expired at 20" in problems["certificates"]

    old = expiry(name)
    authority.issue("own", lifetime_s=7200)
    status, problems = await readyz(server)
    assert (status, problems) == (200, {})
    assert old is not None
    assert expiry(name) >= old + 7260
    await server.stop()


async def test_an_expired_intermediate_of_the_chain_is_a_problem(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("own")
    intermediate, _ = authority.issue("intermediate", lifetime_s=-60)
    cert.write_bytes(cert.read_bytes() + intermediate.read_bytes())
    settings = ServerSettings(drain_grace_s=0, tls_cert_file=cert, tls_key_file=key)
    server = MeshServer("chassis_expiry", settings, Assembly([]))
    await server.start()
    assert "server certificate" in (await readyz(server))[1]["certificates"]
    await server.stop()


async def test_a_bundle_with_an_expired_ca_beside_a_valid_one_is_no_problem(tmp_path):
    old, new = Authority(tmp_path / "old", lifetime_s=-60), Authority(tmp_path / "new")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(old.ca_file.read_bytes())
    server = MeshServer("chassis_expiry", ServerSettings(drain_grace_s=0, peer_ca_file=bundle), Assembly([]))
    await server.start()
    assert "server_ca certificate" in (await readyz(server))[1]["certificates"]
    bundle.write_bytes(old.ca_file.read_bytes() + new.ca_file.read_bytes())
    assert await readyz(server) == (200, {})
    assert expiry("server_ca") == new.cert.not_valid_after_utc.timestamp()
    await server.stop()


async def test_the_health_service_tells_it_too(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("client", lifetime_s=-60)
    settings = ServerSettings(drain_grace_s=0, peer_ca_file=authority.ca_file, peer_cert_file=cert, peer_key_file=key)
    server = MeshServer("chassis_expiry", settings, Assembly([]))
    await server.start()
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", str) as channel:
        stub = health_pb2_grpc.HealthStub(channel.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)  # type: ignore[attr-defined]
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop()


def test_check_config_names_an_expired_certificate(tmp_path):
    cert, key = Authority(tmp_path).issue("server", lifetime_s=-60)
    (problem,) = file_problems(ServerSettings(tls_cert_file=cert, tls_key_file=key))
    assert problem.startswith(f"TLS_CERT_FILE: {cert}: expired at 20")

"""gRPC server: listen, report health and readiness, serve, and drain without breaking streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hocket.chassis.auth import TokenVerifier
from hocket.chassis.certificate_expiry import CertificateExpiry
from hocket.chassis.certificates import CertificateFiles, Pem
from hocket.chassis.guard import Guard, GuardRules
from hocket.chassis.identity import Identity
from hocket.chassis.ops import Check, Readiness, start_ops_server
from hocket.chassis.settings import ServerSettings, host_port
from hocket.chassis.telemetry import RpcMetrics

LOCAL_IDENTITY = Identity("local", "standard", "local")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service: its full name, and a function that adds it to a server."""

    full_name: str
    add_to: Callable[[grpc.aio.Server], None]


@dataclass(frozen=True, slots=True)
class Assembly:
    """Parts of a service, wired by its entry point.

    Attributes:
        servicers: gRPC services to serve.
        checks: Readiness checks by the name of the dependency.
        on_drain: Called when draining starts, before the ports close.
        until_drained: Awaited after `on_drain` with both ports open: work beside RPCs that must end first.
    """

    servicers: Sequence[Servicer]
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    on_drain: Sequence[Callable[[], None]] = ()
    until_drained: Sequence[Callable[[], Awaitable[None]]] = ()


class MeshServer:
    """Server of one service: its gRPC port, its operations port, and draining."""

    def __init__(self, noun: str, settings: ServerSettings, assembly: Assembly) -> None:
        """Prepare the service `noun`, such as "vision"; `start` opens the ports. Raises OSError: a wrong PEM file."""
        self._noun = noun
        self._settings = settings
        self._assembly = assembly
        self.readiness = Readiness({**assembly.checks, **_certificate_check(settings)})
        self._health = health.aio.HealthServicer()
        self._server = self._build()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.grpc_port = 0
        self.ops_port = 0

    def _build(self) -> grpc.aio.Server:
        settings = self._settings
        secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        rules = GuardRules(
            domain=f"hocket.{self._noun}",
            unary_deadline_s=settings.unary_deadline_s,
            stream_deadline_s=settings.stream_deadline_s,
            verifier=TokenVerifier(
                secret=secret,
                jwks_url=settings.jwks_url,
                jwks_file=settings.jwks_file,
                issuer=settings.jwt_issuer,
            ),
            local_identity=None if settings.has_key else LOCAL_IDENTITY,
        )
        server = grpc.aio.server(
            interceptors=[Guard(rules, _metrics_of(self._noun))],
            maximum_concurrent_rpcs=settings.concurrent_rpcs_max,
            options=_options(settings),
        )
        for servicer in self._assembly.servicers:
            servicer.add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if settings.reflection:
            names = [s.full_name for s in self._assembly.servicers]
            reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        return server

    async def start(self) -> None:
        """Listen on both ports. Raises OSError: an address is taken, or a certificate file is wrong."""
        settings = self._settings
        address = host_port(settings.grpc_host, settings.grpc_port)
        try:
            if settings.tls_cert_file:
                self.grpc_port = self._server.add_secure_port(address, _tls(settings.server_certificates()))
            else:
                self.grpc_port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            # gRPC does not report the cause; the same bind by the socket library does.
            cause = await _bind_problem(settings.grpc_host, settings.grpc_port)
            raise OSError(f"cannot listen on {address} for gRPC: {cause}; set grpc_host or grpc_port") from error
        try:
            self._ops, self.ops_port = await start_ops_server(settings.ops_host, settings.ops_port, self.readiness)
        except OSError as error:
            where, cause = host_port(settings.ops_host, settings.ops_port), error.strerror or str(error)
            raise OSError(f"cannot listen on {where} for operations: {cause}; set ops_host or ops_port") from error
        await self.readiness.refresh()
        await self._report_health()
        await self._server.start()
        self._tasks = [asyncio.create_task(self.readiness.keep_fresh()), asyncio.create_task(self._follow_readiness())]
        grpc_at, ops_at = host_port(settings.grpc_host, self.grpc_port), host_port(settings.ops_host, self.ops_port)
        _log.info("serving", grpc=grpc_at, ops=ops_at, ready=self.readiness.ready)

    async def _follow_readiness(self) -> None:
        while True:
            await self.readiness.changed.wait()
            self.readiness.changed.clear()
            await self._report_health()

    async def _report_health(self) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if self.readiness.ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *(s.full_name for s in self._assembly.servicers)):
            await self._health.set(name, status)

    def request_stop(self) -> None:
        """Request the end of `run`; safe in a signal handler."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until a stop is requested, then drain and stop."""
        await self._stop.wait()
        await self.stop()

    async def stop(self) -> None:
        """Drain: report not ready, wait `drain_wait_s`, refuse new calls, let running ones end, close the ports."""
        _log.info("draining", grace_s=self._settings.drain_grace_s)
        self.readiness.draining = True
        await self._report_health()
        await asyncio.sleep(self._settings.drain_wait_s)
        for callback in self._assembly.on_drain:
            callback()
        await asyncio.gather(*(drained() for drained in self._assembly.until_drained))
        await self._server.stop(self._settings.drain_grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ops.cleanup()
        _log.info("stopped")


_metrics: dict[str, RpcMetrics] = {}


def _metrics_of(noun: str) -> RpcMetrics:
    # Prometheus registers a name once per process; tests start a service many times.
    if noun not in _metrics:
        _metrics[noun] = RpcMetrics(noun)
    return _metrics[noun]


async def _bind_problem(host: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return "the port was taken a moment ago"


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    age_ms = int(settings.connection_age_max_s * 1000)
    return [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        # With SO_REUSEPORT a second server on the port would silently receive half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_connection_age_ms", age_ms),
        # The grace exceeds the longest stream; a shorter one would end it with UNAVAILABLE.
        ("grpc.max_connection_age_grace_ms", int(settings.stream_deadline_s * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _certificate_check(settings: ServerSettings) -> dict[str, Check]:
    server = settings.server_certificates() if settings.tls_cert_file else None
    client = settings.peer_tls.files() if settings.peer_tls else None
    return {"certificates": CertificateExpiry(server=server, client=client).check} if server or client else {}


def _tls(files: CertificateFiles) -> grpc.ServerCredentials:
    """Return credentials that follow their files, certificate and client CA; gRPC asks before each handshake."""
    used = files.current(age_max_s=0)

    def configuration(pem: Pem) -> Any:
        return grpc.ssl_server_certificate_configuration([(pem.key or b"", pem.cert or b"")], pem.ca)

    def changed() -> Any:
        nonlocal used
        found = files.current(age_max_s=0)
        if found is used:
            return None
        used = found
        return configuration(found)

    return grpc.dynamic_ssl_server_credentials(configuration(used), changed, used.ca is not None)

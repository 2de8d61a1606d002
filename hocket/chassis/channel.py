"""Outgoing calls: one channel per service, and the token, trace and deadline that every call carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import grpc
from opentelemetry import propagate

from hocket.chassis import identity
from hocket.chassis.deadline import timeout_for

# As much as any service takes (llm_router, with pictures); each has its own limit below this.
SENT_BYTES_MAX = 16 * 1024 * 1024
RECEIVED_BYTES_MAX = 8 * 1024 * 1024

# Retried by gRPC itself, and only where the server had not answered; a caller lists idempotent methods alone.
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

TokenSource = Callable[[], str]


class CallOptions(TypedDict):
    """Keyword arguments of a stub's method."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files of a client: the authority it trusts and, for mTLS, its own certificate and key."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Channel credentials, read now."""
        cert = self.cert_file.read_bytes() if self.cert_file else None
        key = self.key_file.read_bytes() if self.key_file else None
        return grpc.ssl_channel_credentials(self.ca_file.read_bytes(), key, cert)


def forwarded_token() -> str:
    """The bearer token of the RPC being served, for calls on its tenant's behalf."""
    return identity.current().token


class MeshChannel:
    """A channel to one service. Make it in the process and event loop that uses it, and close it there."""

    def __init__(
        self,
        target: str,
        token: TokenSource,
        *,
        tls: ClientTls | None = None,
        idempotent: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Connect lazily to `target` ("dns:///vision:50051", "127.0.0.1:50051").

        `idempotent` names (service, method) pairs that gRPC may send again when a server was not there.
        """
        self._token = token
        options: list[tuple[str, str | int]] = [
            ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
            ("grpc.max_send_message_length", SENT_BYTES_MAX),
            ("grpc.service_config", json.dumps(_service_config(idempotent))),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # A restarted service is found again within a second, not within gRPC's default of up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        self.channel: grpc.aio.Channel = (
            grpc.aio.secure_channel(target, tls.credentials(), options=options)
            if tls
            else grpc.aio.insecure_channel(target, options=options)
        )

    def options(self, timeout_s: float) -> CallOptions:
        """Deadline (at most what the running RPC has left), bearer token and W3C trace context of one call."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        token = self._token()
        if token:
            carrier["authorization"] = f"Bearer {token}"
        return {"timeout": timeout_for(timeout_s), "metadata": tuple(carrier.items())}

    async def close(self) -> None:
        """End the channel and every call on it."""
        await self.channel.close()

    async def __aenter__(self) -> Self:
        """Use as `async with`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()


def _service_config(idempotent: tuple[tuple[str, str], ...]) -> dict[str, object]:
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if idempotent:
        names = [{"service": service, "method": method} for service, method in idempotent]
        config["methodConfig"] = [{"name": names, "retryPolicy": _RETRY}]
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
    return config

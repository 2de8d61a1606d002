"""Outgoing calls: one channel per service; each call carries token, trace context and deadline."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import grpc

from hocket.chassis import identity
from hocket.chassis.certificates import CertificateFiles, shared_files
from hocket.chassis.closes_on_exit import ClosesOnExit
from hocket.chassis.deadline import timeout_for
from hocket.chassis.reloading_channel import ReloadingChannel
from hocket.chassis.rpc_spans import TracedChannel

# Largest message that any service accepts (llm_router, with images); the others accept less.
SENT_BYTES_MAX = 16 * 1024 * 1024
RECEIVED_BYTES_MAX = 8 * 1024 * 1024

# Retries by gRPC itself before any response arrived; only for the methods that the caller lists as idempotent.
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

TokenSource = Callable[[], str]


class CallOptions(TypedDict):
    """Keyword arguments of a stub's method: timeout in seconds, and metadata."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files of a client: the CA that it trusts and, for mTLS, its own certificate and key; reread on change."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    def files(self) -> CertificateFiles:
        """Return the files, shared by all channels of this process. Raises OSError as `CertificateFiles` does."""
        return shared_files(self.ca_file, self.cert_file, self.key_file)


def forwarded_token() -> str:
    """Return the bearer token of the running RPC: a token source for calls on behalf of its tenant."""
    return identity.current().token


class MeshChannel(ClosesOnExit):
    """Channel to one service, shared by all its clients. Create, use and close it in one event loop.

    Example:
        token = TokenMinter(secret).source("acme", caller="billing")
        async with MeshChannel("dns:///vision:50051", token) as channel:
            stats = await VisionClient(channel).get_stats(room="lobby")
    """

    def __init__(
        self,
        target: str,
        token: TokenSource,
        *,
        tls: ClientTls | None = None,
        idempotent: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Configure the channel; it connects on the first call.

        Args:
            target: gRPC target, for instance "dns:///vision:50051" or "127.0.0.1:50051".
            token: Called for each RPC; returns the bearer token, or "" for none.
            tls: PEM files, which may rotate while the channel is open; None for plain text.
            idempotent: (service, method) pairs that gRPC may retry while a server is unavailable.

        Raises:
            OSError: A PEM file is unreadable, or the key is not that of the certificate.
        """
        self._token = token
        options: list[tuple[str, str | int]] = [
            ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
            ("grpc.max_send_message_length", SENT_BYTES_MAX),
            ("grpc.service_config", json.dumps(_service_config(idempotent))),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Reconnects to a restarted server within a second; gRPC's default backs off for up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            # Time for one attempt, despite its name: a TLS handshake on a busy machine takes more than 100 ms.
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ]
        channel = (
            ReloadingChannel(tls.files(), lambda held: grpc.aio.secure_channel(target, held, options=options))
            if tls
            else grpc.aio.insecure_channel(target, options=options)
        )
        self.channel: grpc.aio.Channel = TracedChannel(channel, target)

    def options(self, timeout_s: float) -> CallOptions:
        """Return timeout and bearer token of one call; the channel adds the W3C trace context of its span.

        Args:
            timeout_s: Timeout in seconds; shortened to the rest of the running RPC's deadline.

        Raises:
            DeadlineExceeded: The deadline of the running RPC has passed.
        """
        token = self._token()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return {"timeout": timeout_for(timeout_s), "metadata": metadata}

    async def close(self) -> None:
        """Close the channel; calls on it are cancelled."""
        await self.channel.close()


def _service_config(idempotent: tuple[tuple[str, str], ...]) -> dict[str, object]:
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if idempotent:
        names = [{"service": service, "method": method} for service, method in idempotent]
        config["methodConfig"] = [{"name": names, "retryPolicy": _RETRY}]
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
    return config

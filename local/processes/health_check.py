"""Check a service over the gRPC health protocol, as a load balancer does."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_S = 5.0


async def is_serving(target: str) -> bool:
    """Return True if the server at `target` (host:port) answers SERVING within 5 s."""
    # A new channel per check: a channel whose connection failed waits for its reconnect backoff.
    async with grpc.aio.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        try:
            answer = await _check(channel)(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _check(
    channel: grpc.aio.Channel,
) -> grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]:
    # The stub of grpc_health has no types for grpc.aio.
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

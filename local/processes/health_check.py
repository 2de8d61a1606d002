"""Whether a service serves: asked over gRPC, as a load balancer would."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_S = 5.0


async def serves(target: str) -> bool:
    """Whether the server at `target` answers the health protocol with SERVING."""
    # A channel per question: one that once failed to connect would wait out its own backoff.
    async with grpc.aio.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        try:
            answer = await _check(channel)(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _check(
    channel: grpc.aio.Channel,
) -> grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]:
    # The package's own stub has no types for grpc.aio.
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

"""Servicer of envoy.service.ratelimit.v3.RateLimitService, for the rate limit filters of Envoy, Istio and Contour.

Envoy sends the tenant's token in `grpc_service.initial_metadata` of its filter. limits/descriptors.py maps descriptors
to limits. Unlike in Envoy's own service a request is all or nothing: if one descriptor is over its limit, the others
are not spent.
"""

# ruff: noqa: ARG002 - gRPC passes request and context to every method
from __future__ import annotations

from collections.abc import Sequence

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from hocket.chassis import identity
from hocket.chassis.errors import invalid_field
from hocket.chassis.guard import Context
from services.ratelimit import wire
from services.ratelimit.flow import Limiter, Standing
from services.ratelimit.limits.descriptors import merge_spends, spend_for_descriptor
from services.ratelimit.limits.rate_limits import US
from services.ratelimit.limits.spends import SPENDS_MAX, Spend

FULL_NAME = "envoy.service.ratelimit.v3.RateLimitService"
_UNITS = {
    1 * US: rls_pb2.RateLimitResponse.RateLimit.SECOND,
    60 * US: rls_pb2.RateLimitResponse.RateLimit.MINUTE,
    3600 * US: rls_pb2.RateLimitResponse.RateLimit.HOUR,
    86_400 * US: rls_pb2.RateLimitResponse.RateLimit.DAY,
}


class EnvoyServicer(rls_pb2_grpc.RateLimitServiceServicer):
    """Serves Envoy's rate limit protocol."""

    def __init__(self, limiter: Limiter, limits: frozenset[str]) -> None:
        """Create a servicer.

        Args:
            limiter: Makes the decisions.
            limits: Names of the configured rate limits.
        """
        self._limiter = limiter
        self._limits = limits

    async def ShouldRateLimit(self, request: rls_pb2.RateLimitRequest, context: Context) -> rls_pb2.RateLimitResponse:
        """Decide all descriptors of a request, all or nothing."""
        spends = _spends(request, self._limits)
        requested = merge_spends([spend for spend in spends if spend])
        if not requested:
            return _response(spends, {})
        decision = await self._limiter.check(identity.current(), requested)
        standings = {(s.limit, s.subject): t for s, t in zip(requested, decision.standings, strict=True)}
        return _response(spends, standings)


def _spends(request: rls_pb2.RateLimitRequest, known: frozenset[str]) -> list[Spend | None]:
    if not request.domain:
        raise invalid_field("domain", "must not be empty")
    if not 1 <= len(request.descriptors) <= SPENDS_MAX:
        raise invalid_field("descriptors", f"holds {len(request.descriptors)} entries; must hold 1 to {SPENDS_MAX}")
    return [
        spend_for_descriptor(
            [(entry.key, entry.value) for entry in one.entries],
            one.hits_addend.value if one.HasField("hits_addend") else request.hits_addend,
            known,
        )
        for one in request.descriptors
    ]


def _response(spends: Sequence[Spend | None], standings: dict[tuple[str, str], Standing]) -> rls_pb2.RateLimitResponse:
    statuses = [_status(standings[s.limit, s.subject]) if s else _unlimited() for s in spends]
    over = any(status.code == rls_pb2.RateLimitResponse.OVER_LIMIT for status in statuses)
    code = rls_pb2.RateLimitResponse.OVER_LIMIT if over else rls_pb2.RateLimitResponse.OK
    return rls_pb2.RateLimitResponse(overall_code=code, statuses=statuses)


def _unlimited() -> rls_pb2.RateLimitResponse.DescriptorStatus:
    return rls_pb2.RateLimitResponse.DescriptorStatus(code=rls_pb2.RateLimitResponse.OK)


def _status(standing: Standing) -> rls_pb2.RateLimitResponse.DescriptorStatus:
    limit, verdict = standing.limit, standing.verdict
    if limit.capacity_units == 0:
        return _unlimited()
    unit = _UNITS.get(limit.window_us, rls_pb2.RateLimitResponse.RateLimit.UNKNOWN)
    return rls_pb2.RateLimitResponse.DescriptorStatus(
        code=rls_pb2.RateLimitResponse.OK if verdict.fits else rls_pb2.RateLimitResponse.OVER_LIMIT,
        current_limit=rls_pb2.RateLimitResponse.RateLimit(
            name=limit.name, requests_per_unit=min(limit.capacity_units, 2**32 - 1), unit=unit
        ),
        limit_remaining=min(verdict.remaining_units, 2**32 - 1),
        duration_until_reset=wire.duration(verdict.wait_us or limit.window_us),
    )


def add_to(servicer: EnvoyServicer, server: grpc.aio.Server) -> None:
    """Add `servicer` to `server`; the generated function has no type annotations."""
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(servicer, server)

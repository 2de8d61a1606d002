"""The gRPC servicer: translates between protobuf and the domain, and calls the flow."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hocket.llm_router.v1 import llm_router_pb2 as pb
from hocket.llm_router.v1 import llm_router_pb2_grpc

from hocket.chassis.guard import Context
from services.llm_router.attempts.model_health import ModelHealth
from services.llm_router.flow import Router
from services.llm_router.wire.requests import outcome_from_proto, request_from_proto
from services.llm_router.wire.responses import decision_to_proto, event_to_proto, health_to_proto, models_to_proto

FULL_NAME = "hocket.llm_router.v1.LlmRouterService"


class LlmRouterServicer(llm_router_pb2_grpc.LlmRouterServiceServicer):
    """Implements `hocket.llm_router.v1.LlmRouterService`."""

    def __init__(self, router: Router, model_health: ModelHealth) -> None:
        self._router = router
        self._model_health = model_health

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncGenerator[pb.GenerateResponse, Any]:  # noqa: ARG002 - gRPC passes it
        """Stream an answer."""
        domain_request = request_from_proto(request, self._model_health.table)
        async with aclosing(self._router.generate(domain_request)) as events:
            async for event in events:
                yield event_to_proto(event)

    async def Route(self, request: pb.RouteRequest, context: Context) -> pb.RouteResponse:  # noqa: ARG002 - gRPC passes it
        """Decide without answering."""
        decision = await self._router.route(request_from_proto(request.request, self._model_health.table, "request."))
        return pb.RouteResponse(decision=decision_to_proto(decision, decision.candidates[0]))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: ARG002 - gRPC passes them
        """List every candidate with prices and availability."""
        return models_to_proto(self._model_health.models(), self._model_health.now_s)

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:  # noqa: ARG002 - gRPC passes them
        """Return the circuit breaker of each candidate."""
        return health_to_proto(self._model_health.health())

    async def Prewarm(self, request: pb.PrewarmRequest, context: Context) -> pb.PrewarmResponse:  # noqa: ARG002 - gRPC passes it
        """Fill a prompt cache before a conversation starts."""
        result = await self._router.prewarm(request_from_proto(request.request, self._model_health.table, "request."))
        return pb.PrewarmResponse(
            model=result.candidate.alias, cached_tokens=result.cached_tokens, cost_micro_usd=result.cost_micro_usd
        )

    async def RecordOutcome(self, request: pb.RecordOutcomeRequest, context: Context) -> pb.RecordOutcomeResponse:  # noqa: ARG002 - gRPC passes it
        """Store how an answer was received."""
        await self._router.record_outcome(*outcome_from_proto(request))
        return pb.RecordOutcomeResponse()

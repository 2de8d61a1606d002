"""The contract's RPCs over the flow: wire to domain and back, nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hocket.llm_router.v1 import llm_router_pb2 as pb
from hocket.llm_router.v1 import llm_router_pb2_grpc

from hocket.chassis.guard import Context
from services.llm_router.attempts.model_health import Inventory
from services.llm_router.flow import Router
from services.llm_router.wire.requests import read_outcome, read_request
from services.llm_router.wire.responses import tell_decision, tell_event, tell_health, tell_models

FULL_NAME = "hocket.llm_router.v1.LlmRouterService"


class LlmRouterServicer(llm_router_pb2_grpc.LlmRouterServiceServicer):
    """LlmRouterService."""

    def __init__(self, router: Router, inventory: Inventory) -> None:
        self._router = router
        self._inventory = inventory

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncGenerator[pb.GenerateResponse, Any]:  # noqa: ARG002 - gRPC passes it
        """Answer."""
        asked = read_request(request, self._inventory.table)
        async with aclosing(self._router.generate(asked)) as events:
            async for event in events:
                yield tell_event(event)

    async def Route(self, request: pb.RouteRequest, context: Context) -> pb.RouteResponse:  # noqa: ARG002 - gRPC passes it
        """Decide."""
        decision = await self._router.route(read_request(request.request, self._inventory.table, "request."))
        return pb.RouteResponse(decision=tell_decision(decision, decision.ladder[0]))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: ARG002 - gRPC passes them
        """List every candidate."""
        return tell_models(self._inventory.models(), self._inventory.now_s)

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:  # noqa: ARG002 - gRPC passes them
        """Tell each candidate's breaker."""
        return tell_health(self._inventory.health())

    async def Prewarm(self, request: pb.PrewarmRequest, context: Context) -> pb.PrewarmResponse:  # noqa: ARG002 - gRPC passes it
        """Fill a prompt cache ahead of a conversation."""
        warmed = await self._router.prewarm(read_request(request.request, self._inventory.table, "request."))
        return pb.PrewarmResponse(
            model=warmed.candidate.alias, cached_tokens=warmed.cached_tokens, cost_micro_usd=warmed.cost_micro_usd
        )

    async def RecordOutcome(self, request: pb.RecordOutcomeRequest, context: Context) -> pb.RecordOutcomeResponse:  # noqa: ARG002 - gRPC passes it
        """Keep how an answer was received."""
        await self._router.record_outcome(*read_outcome(request))
        return pb.RecordOutcomeResponse()

"""The caller's side of the router: an answer as a stream that ends with its reader, and the smaller questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from hocket.llm_router.v1 import llm_router_pb2 as pb
from hocket.llm_router.v1 import llm_router_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors

PREWARM_TIMEOUT_S = 10.0
UNARY_TIMEOUT_S = 5.0
GENERATE_TIMEOUT_S = 60.0


class RouterClient:
    """Asks the router in the tenant of the channel's token. Its methods raise the errors of hocket.chassis.errors."""

    def __init__(self, channel: MeshChannel) -> None:
        """Use `channel`; it stays the caller's to close."""
        self._channel = channel
        self._stub = llm_router_pb2_grpc.LlmRouterServiceStub(channel.channel)

    async def generate(
        self, request: pb.GenerateRequest, timeout_s: float = GENERATE_TIMEOUT_S
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """The events of one answer: a route first, text and tool calls, a finish last.

        Closing the generator cancels the call, down to the vendor: iterate it inside `contextlib.aclosing`.

        Args:
            request: The conversation and what may be done with it.
            timeout_s: Seconds for the whole answer.
        """
        call = self._stub.Generate(request, **self._channel.options(timeout_s))
        try:
            with mesh_errors():
                async for response in call:
                    yield response
        finally:
            # Without effect on a call that has ended.
            call.cancel()

    async def route(self, request: pb.GenerateRequest, timeout_s: float = UNARY_TIMEOUT_S) -> pb.RouteDecision:
        """The decision that `generate` would make for `request`, explained; nothing is generated or booked."""
        with mesh_errors():
            response = await self._stub.Route(pb.RouteRequest(request=request), **self._channel.options(timeout_s))
        return response.decision

    async def list_models(self, timeout_s: float = UNARY_TIMEOUT_S) -> list[pb.Model]:
        """Every candidate in the order in which it is tried, tier by tier, with its price and whether it may serve."""
        with mesh_errors():
            response = await self._stub.ListModels(pb.ListModelsRequest(), **self._channel.options(timeout_s))
        return list(response.models)

    async def get_health(self, timeout_s: float = UNARY_TIMEOUT_S) -> list[pb.CandidateHealth]:
        """The circuit breaker of each candidate."""
        with mesh_errors():
            response = await self._stub.GetHealth(pb.GetHealthRequest(), **self._channel.options(timeout_s))
        return list(response.candidates)

    async def prewarm(self, request: pb.GenerateRequest, timeout_s: float = PREWARM_TIMEOUT_S) -> pb.PrewarmResponse:
        """Fill the prompt cache of the model that would answer `request`, ahead of a conversation's first turn."""
        with mesh_errors():
            return await self._stub.Prewarm(pb.PrewarmRequest(request=request), **self._channel.options(timeout_s))

    async def record_outcome(
        self, turn_id: str, outcome: pb.Outcome.ValueType, timeout_s: float = UNARY_TIMEOUT_S
    ) -> None:
        """Tell how the answer of the turn `turn_id` was received."""
        request = pb.RecordOutcomeRequest(turn_id=turn_id, outcome=outcome)
        with mesh_errors():
            await self._stub.RecordOutcome(request, **self._channel.options(timeout_s))

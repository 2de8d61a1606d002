"""Client of the model router: answers as streams, and routing decisions, models, health and outcomes."""

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
    """Client of `hocket.llm_router.v1.LlmRouterService` for the tenant of the channel's token.

    Every method raises the `MeshError` that the server raised, and DeadlineExceeded after `timeout_s` seconds.

    Example:
        question = Message(role=ROLE_USER, parts=[Part(text="What are your opening hours?")])
        async with MeshChannel("dns:///llm-router:50051", token) as channel:
            events = RouterClient(channel).generate(GenerateRequest(messages=[question]))
            async with contextlib.aclosing(events):
                async for event in events:
                    print(event.text_delta, end="")
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`; the caller closes it."""
        self._channel = channel
        self._stub = llm_router_pb2_grpc.LlmRouterServiceStub(channel.channel)

    async def generate(
        self, request: pb.GenerateRequest, timeout_s: float = GENERATE_TIMEOUT_S
    ) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Yield the events of one answer: the route first, then text and tool calls, the finish last.

        Closing the generator cancels the call, down to the vendor: iterate it inside `contextlib.aclosing`.

        Args:
            request: Conversation, tools, images and requirements of the answer.
            timeout_s: Timeout of the whole answer in seconds.

        Raises:
            InvalidArgument: A field is missing or out of range; `fields` names it.
            FailedPrecondition: NO_CAPABLE_MODEL: no model serves what the request needs.
            ResourceExhausted: RATE_LIMITED, BUDGET_EXHAUSTED or OVERLOADED.
            Unavailable: ALL_MODELS_FAILED: every candidate failed before the first output.
        """
        call = self._stub.Generate(request, **self._channel.options(timeout_s))
        try:
            with mesh_errors():
                async for response in call:
                    yield response
        finally:
            # No effect on a call that has ended.
            call.cancel()

    async def route(self, request: pb.GenerateRequest, timeout_s: float = UNARY_TIMEOUT_S) -> pb.RouteDecision:
        """Return the decision that `generate` would make for `request`; no model is called, no cost is recorded.

        Args:
            request: The request to route.
            timeout_s: Timeout in seconds.

        Returns:
            Tier, model, score, reasons, and the alternatives with their cost.

        Raises:
            FailedPrecondition: NO_CAPABLE_MODEL: no model serves what the request needs.
            ResourceExhausted: BUDGET_EXHAUSTED: the tenant's budget is spent.
        """
        with mesh_errors():
            response = await self._stub.Route(pb.RouteRequest(request=request), **self._channel.options(timeout_s))
        return response.decision

    async def list_models(self, timeout_s: float = UNARY_TIMEOUT_S) -> list[pb.Model]:
        """Return every candidate by tier, in the order of attempts, with its price and whether it may serve."""
        with mesh_errors():
            response = await self._stub.ListModels(pb.ListModelsRequest(), **self._channel.options(timeout_s))
        return list(response.models)

    async def get_health(self, timeout_s: float = UNARY_TIMEOUT_S) -> list[pb.CandidateHealth]:
        """Return the circuit-breaker state of each candidate."""
        with mesh_errors():
            response = await self._stub.GetHealth(pb.GetHealthRequest(), **self._channel.options(timeout_s))
        return list(response.candidates)

    async def prewarm(self, request: pb.GenerateRequest, timeout_s: float = PREWARM_TIMEOUT_S) -> pb.PrewarmResponse:
        """Write instructions and tools of `request` into the prompt cache of the model that would answer it.

        Call it before the first turn of a conversation; the first answer then starts sooner. Its cost is recorded.

        Args:
            request: Instructions and tools of the conversation.
            timeout_s: Timeout in seconds.

        Raises:
            Unavailable: ALL_MODELS_FAILED: the vendor failed.
        """
        with mesh_errors():
            return await self._stub.Prewarm(pb.PrewarmRequest(request=request), **self._channel.options(timeout_s))

    async def record_outcome(
        self, turn_id: str, outcome: pb.Outcome.ValueType, timeout_s: float = UNARY_TIMEOUT_S
    ) -> None:
        """Record how an answer was received, as training data of the complexity scorer.

        Args:
            turn_id: The `turn_id` that was sent to `generate`.
            outcome: How the answer was received.
            timeout_s: Timeout in seconds.

        Raises:
            NotFound: TURN_NOT_FOUND: no turn of this id was answered for the tenant lately.
        """
        request = pb.RecordOutcomeRequest(turn_id=turn_id, outcome=outcome)
        with mesh_errors():
            await self._stub.RecordOutcome(request, **self._channel.options(timeout_s))

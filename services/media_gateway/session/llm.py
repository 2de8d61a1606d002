"""livekit-agents' LLM over llm_router. Passages and the newest frame are attached here, inside the model call.

Attached earlier, in `on_user_turn_completed`, they would change the chat context, and livekit-agents would discard the
answer that it generated preemptively.
"""

# livekit and redis leave parameters of their generics open.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from hocket.llm_router.v1 import llm_router_pb2 as pb
from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from hocket.chassis.errors import MeshError, ResourceExhausted
from hocket.client.llm_router import RouterClient
from services.media_gateway.session import llm_request
from services.media_gateway.session.knowledge import KnowledgeResult, KnowledgeSearch
from services.media_gateway.session.video import FrameBuffer
from services.media_gateway.turns.frame_attachment import attaches_frame
from services.media_gateway.turns.turn_log import ModelCall, TurnLog

APOLOGY = "I am sorry, I cannot answer right now. Please ask me again in a moment."
APOLOGY_LIMITED = "I am sorry, too many questions came at once. Please ask me again in a minute."
APOLOGY_CUT = " I am sorry, I lost my thread there. Please ask me again."
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """Identity and limits of a session's model calls; times in seconds.

    Attributes:
        room: Name of the room within the tenant.
        conversation_id: Id under which the router keeps the conversation's state: the LiveKit room's sid.
        next_event_s: Wait for the first text or tool call, and for each further event.
        total_s: Deadline of a call.
        items_max: Chat items sent besides the instructions.
        frame_age_s_max: Age up to which an unused frame is attached without a reference to something visible.
        attach_newest_frame: Whether unused frames are attached without such a reference.
    """

    room: str
    conversation_id: str
    next_event_s: float
    total_s: float
    items_max: int
    frame_age_s_max: float
    attach_newest_frame: bool


class RouterLlm(llm.LLM[Any]):
    """Generates answers with llm_router. A call that fails or is late yields an apology and never an error."""

    def __init__(
        self,
        client: RouterClient,
        config: LlmConfig,
        turn_log: TurnLog,
        knowledge: KnowledgeSearch | None,
        frames: FrameBuffer,
    ) -> None:
        """Generate answers for one session.

        Args:
            client: Client whose token names the tenant.
            config: Identity and limits of the calls.
            turn_log: Log in which each call is recorded.
            knowledge: Search for passages; None attaches none.
            frames: Kept frames of the room.
        """
        super().__init__()
        self.client = client
        self.config = config
        self.turn_log = turn_log
        self.knowledge = knowledge
        self.frames = frames

    @property
    def model(self) -> str:
        """A constant; the router chooses the model of each call, and the turn log records it."""
        return "routed"

    @property
    def provider(self) -> str:
        """Name of the provider in livekit-agents' telemetry."""
        return "hocket"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002 - left to the router's models
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002 - vendor options have no meaning here
    ) -> llm.LLMStream:
        """Start a model call; livekit-agents calls this for each turn, tool result and preemptive generation."""
        choice = llm_request.tool_choice_to_proto(tool_choice) if tool_choice else pb.TOOL_CHOICE_UNSPECIFIED
        return _RouterLlmStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options, choice=choice)


class _RouterLlmStream(llm.LLMStream):
    def __init__(
        self,
        router: RouterLlm,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        choice: pb.ToolChoice.ValueType,
    ) -> None:
        super().__init__(router, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._router = router
        self._choice = choice
        question = llm_request.last_user_message(chat_ctx.items)
        self._question = (question.text_content or "") if question else ""
        message_id = question.id if question else ""
        self._turn, self._call = router.turn_log.begin_model_call(message_id)
        self._id = f"{self._turn.turn_id}-{len(self._turn.model_calls)}"
        self._tool_calls: list[pb.ToolCall] = []
        self._provider_states: list[pb.ProviderState] = []
        self._text_sent = False

    async def _run(self) -> None:
        try:
            request = await self._build_request()
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    self._handle(event)
            self._send_tool_calls_and_state()
            if not self._text_sent and not self._tool_calls:
                self._turn.degraded.add("llm_router")
                self._send_text(APOLOGY)
        except (MeshError, TimeoutError) as error:
            self._turn.degraded.add("llm_router")
            _log.warning("answer failed", error=str(error) or "late", reason=getattr(error, "reason", "TIMEOUT"))
            self._send_text(APOLOGY_CUT if self._text_sent else _apology(error))

    async def _build_request(self) -> pb.GenerateRequest:
        config = self._router.config
        knowledge = await self._passages()
        self._call.document_ids = [passage.document_id for passage in knowledge.passages]
        self._call.knowledge_ms = knowledge.waited_ms
        self._turn.degraded.update(knowledge.degraded)
        image = self._attached_image()
        self._call.images = int(image is not None)
        return pb.GenerateRequest(
            messages=llm_request.messages_to_proto(
                self._chat_ctx.items, items_max=config.items_max, passages=knowledge.passages, image=image
            ),
            tools=llm_request.tools_to_proto(self._tools),
            tool_choice=self._choice,
            conversation_id=config.conversation_id,
            turn_id=self._turn.turn_id,
            room=config.room,
            speculative=self._call.speculative,
        )

    async def _passages(self) -> KnowledgeResult:
        knowledge = self._router.knowledge
        return await knowledge.passages_for(self._question) if knowledge else KnowledgeResult()

    def _attached_image(self) -> pb.Image | None:
        config, frames = self._router.config, self._router.frames
        attached = attaches_frame(
            self._question,
            frames.newest_state(),
            age_s_max=config.frame_age_s_max,
            attach_newest=config.attach_newest_frame,
        )
        frame = frames.newest() if attached else None
        if frame is None:
            return None
        frame.used = True
        return llm_request.image_to_proto(frame.jpeg, frame.kept_at_s)

    async def _events(self, request: pb.GenerateRequest) -> AsyncGenerator[pb.GenerateResponse, None]:
        config = self._router.config
        started_s = time.monotonic()
        async with asyncio.timeout(config.next_event_s) as stall_timeout:
            async with aclosing(self._router.client.generate(request, config.total_s)) as events:
                async for event in events:
                    # The route comes before any output, so it neither counts as output nor extends the timeout.
                    if event.WhichOneof("event") != "route":
                        if self._call.first_event_ms is None:
                            self._call.first_event_ms = round((time.monotonic() - started_s) * 1000)
                        stall_timeout.reschedule(asyncio.get_running_loop().time() + config.next_event_s)
                    yield event

    def _handle(self, event: pb.GenerateResponse) -> None:
        match event.WhichOneof("event"):
            case "route":
                record_route(self._call, event.route)
            case "text_delta":
                self._send_text(event.text_delta)
            case "tool_call":
                self._tool_calls.append(event.tool_call)
            case "provider_state":
                self._provider_states.append(event.provider_state)
            case "finish":
                self._record_finish(event.finish)
            case _:
                pass

    def _send_text(self, text: str) -> None:
        self._text_sent = self._text_sent or bool(text.strip())
        self._send_chunk(llm.ChoiceDelta(role="assistant", content=text))

    def _send_chunk(self, delta: llm.ChoiceDelta | None, usage: llm.CompletionUsage | None = None) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=self._id, delta=delta, usage=usage))

    def _record_finish(self, finish: pb.Finish) -> None:
        self._call.cost_micro_usd = finish.cost_micro_usd
        if finish.reason == pb.FINISH_REASON_CUT:
            self._turn.degraded.add("llm_router")
            self._send_text(APOLOGY_CUT if self._text_sent else APOLOGY)
        usage = finish.usage
        self._send_chunk(
            None,
            llm.CompletionUsage(
                completion_tokens=usage.output_tokens,
                prompt_tokens=usage.input_tokens,
                prompt_cached_tokens=usage.cached_input_tokens,
                total_tokens=usage.input_tokens + usage.output_tokens,
            ),
        )

    def _send_tool_calls_and_state(self) -> None:
        # Only at the end of the stream: the provider state of a tool call may arrive after the call.
        for call in self._tool_calls:
            extra = llm_request.state_extra([s for s in self._provider_states if s.call_id == call.call_id])
            tool_call = llm.FunctionToolCall(
                name=call.name, arguments=call.arguments_json or "{}", call_id=call.call_id, extra=extra or None
            )
            self._send_chunk(llm.ChoiceDelta(role="assistant", tool_calls=[tool_call]))
        extra = llm_request.state_extra([s for s in self._provider_states if not s.call_id])
        if extra:
            self._send_chunk(llm.ChoiceDelta(role="assistant", extra=extra))


def record_route(call: ModelCall, route: pb.RouteDecision) -> None:
    """Record the router's decision in the call; the decision for a fallback replaces an earlier one."""
    call.tier = pb.Tier.Name(route.tier).removeprefix("TIER_").lower()
    call.model, call.provider, call.score = route.model, route.provider, route.score
    call.reasons = [
        {"name": reason.name, "weight": round(reason.weight, 4), "detail": reason.detail} for reason in route.reasons
    ]


def _apology(error: Exception) -> str:
    return APOLOGY_LIMITED if isinstance(error, ResourceExhausted) else APOLOGY

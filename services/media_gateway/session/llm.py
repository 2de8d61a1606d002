"""livekit-agents' LLM over llm_router: knowledge and pictures are added here, inside the call.

Added any earlier (in on_user_turn_completed) they would change the conversation and so throw away the answer that was
begun before the person had finished.
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
from services.media_gateway.session.knowledge import Found, Knowledge
from services.media_gateway.session.video import FrameShelf
from services.media_gateway.turns import visible
from services.media_gateway.turns.turn_log import ModelCall, TurnBook

APOLOGY = "I am sorry, I cannot answer right now. Please ask me again in a moment."
APOLOGY_LIMITED = "I am sorry, too many questions came at once. Please ask me again in a minute."
APOLOGY_CUT = " I am sorry, I lost my thread there. Please ask me again."
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LlmRules:
    """What calls are held to; times in seconds. `next_event_s` is the wait for the first word and for each next one."""

    room: str
    conversation_id: str
    next_event_s: float
    total_s: float
    items_max: int
    frame_age_s_max: float
    attach_newest_frame: bool


class RouterLlm(llm.LLM[Any]):
    """Asks the router. A router that is dead or late is answered with an apology, never with an error."""

    def __init__(
        self,
        client: RouterClient,
        rules: LlmRules,
        book: TurnBook,
        knowledge: Knowledge | None,
        shelf: FrameShelf,
    ) -> None:
        """Ask over `client`; write what happened into `book`."""
        super().__init__()
        self.client = client
        self.rules = rules
        self.book = book
        self.knowledge = knowledge
        self.shelf = shelf

    @property
    def model(self) -> str:
        """The router decides; turns carry what it chose."""
        return "routed"

    @property
    def provider(self) -> str:
        """Who is asked."""
        return "hocket"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002 - the router's models decide
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002 - of no vendor here
    ) -> llm.LLMStream:
        """Begin an answer."""
        choice = llm_request.tool_choice(tool_choice) if tool_choice else pb.TOOL_CHOICE_UNSPECIFIED
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options, choice=choice)


class _Answer(llm.LLMStream):
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
        asked = llm_request.last_user_message(chat_ctx.items)
        self._asked = (asked.text_content or "") if asked else ""
        self._message_id = asked.id if asked else ""
        self._turn, self._call = router.book.begin_call(self._message_id)
        self._id = f"{self._turn.turn_id}-{len(self._turn.calls)}"
        self._calls: list[pb.ToolCall] = []
        self._states: list[pb.ProviderState] = []
        self._spoke = False

    async def _run(self) -> None:
        try:
            request = await self._request()
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    self._take(event)
            self._finish()
        except (MeshError, TimeoutError) as error:
            self._turn.degraded.add("llm_router")
            _log.warning("answer failed", error=str(error) or "late", reason=getattr(error, "reason", "TIMEOUT"))
            self._say(APOLOGY_CUT if self._spoke else _apology(error))

    async def _request(self) -> pb.GenerateRequest:
        rules = self._router.rules
        found = await self._knowledge()
        self._call.document_ids = [passage.document_id for passage in found.passages]
        self._call.knowledge_ms = found.waited_ms
        self._turn.degraded.update(found.degraded)
        picture = self._picture()
        self._call.images = int(picture is not None)
        return pb.GenerateRequest(
            messages=llm_request.messages(
                self._chat_ctx.items, items_max=rules.items_max, passages=found.passages, image=picture
            ),
            tools=llm_request.tools(self._tools),
            tool_choice=self._choice,
            conversation_id=rules.conversation_id,
            turn_id=self._turn.turn_id,
            room=rules.room,
            speculative=self._call.speculative,
        )

    async def _knowledge(self) -> Found:
        knowledge = self._router.knowledge
        return await knowledge.find(self._asked) if knowledge else Found()

    def _picture(self) -> pb.Image | None:
        rules, shelf = self._router.rules, self._router.shelf
        wanted = visible.attach(
            self._asked, shelf.held(), age_s_max=rules.frame_age_s_max, attach_newest=rules.attach_newest_frame
        )
        frame = shelf.newest() if wanted else None
        if frame is None:
            return None
        frame.used = True
        return llm_request.image(frame.jpeg, frame.kept_at_s)

    async def _events(self, request: pb.GenerateRequest) -> AsyncGenerator[pb.GenerateResponse, None]:
        rules = self._router.rules
        started_s = time.monotonic()
        async with asyncio.timeout(rules.next_event_s) as patience:
            async with aclosing(self._router.client.generate(request, rules.total_s)) as events:
                async for event in events:
                    if event.WhichOneof("event") != "route":
                        if self._call.first_event_ms is None:
                            self._call.first_event_ms = round((time.monotonic() - started_s) * 1000)
                        # A stream that stalls half way is as silent as one that never began.
                        patience.reschedule(asyncio.get_running_loop().time() + rules.next_event_s)
                    yield event

    def _take(self, event: pb.GenerateResponse) -> None:
        match event.WhichOneof("event"):
            case "route":
                note_route(self._call, event.route)
            case "text_delta":
                self._say(event.text_delta)
            case "tool_call":
                self._calls.append(event.tool_call)
            case "provider_state":
                self._states.append(event.provider_state)
            case "finish":
                self._account(event.finish)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._spoke = self._spoke or bool(text.strip())
        self._send(llm.ChoiceDelta(role="assistant", content=text))

    def _send(self, delta: llm.ChoiceDelta | None, usage: llm.CompletionUsage | None = None) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=self._id, delta=delta, usage=usage))

    def _account(self, finish: pb.Finish) -> None:
        self._call.cost_micro_usd = finish.cost_micro_usd
        if finish.reason == pb.FINISH_REASON_CUT:
            self._turn.degraded.add("llm_router")
            self._say(APOLOGY_CUT if self._spoke else APOLOGY)
        usage = finish.usage
        self._send(
            None,
            llm.CompletionUsage(
                completion_tokens=usage.output_tokens,
                prompt_tokens=usage.input_tokens,
                prompt_cached_tokens=usage.cached_input_tokens,
                total_tokens=usage.input_tokens + usage.output_tokens,
            ),
        )

    def _finish(self) -> None:
        # Calls wait for the end of the stream: a vendor's state for a call may come after the call.
        for call in self._calls:
            extra = llm_request.state_extra([s for s in self._states if s.call_id == call.call_id])
            wanted = llm.FunctionToolCall(
                name=call.name, arguments=call.arguments_json or "{}", call_id=call.call_id, extra=extra or None
            )
            self._send(llm.ChoiceDelta(role="assistant", tool_calls=[wanted]))
        extra = llm_request.state_extra([s for s in self._states if not s.call_id])
        if extra:
            self._send(llm.ChoiceDelta(role="assistant", extra=extra))
        if not self._spoke and not self._calls:
            self._turn.degraded.add("llm_router")
            self._say(APOLOGY)


def note_route(call: ModelCall, route: pb.RouteDecision) -> None:
    """Write the router's decision into the book; a fallback's overwrites the one before."""
    call.tier = pb.Tier.Name(route.tier).removeprefix("TIER_").lower()
    call.model, call.provider, call.score = route.model, route.provider, route.score
    call.reasons = [
        {"name": reason.name, "weight": round(reason.weight, 4), "detail": reason.detail} for reason in route.reasons
    ]


def _apology(error: Exception) -> str:
    return APOLOGY_LIMITED if isinstance(error, ResourceExhausted) else APOLOGY

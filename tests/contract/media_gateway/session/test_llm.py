"""RouterLlm over a router in process: the request, the answer, passages and frames, failures."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb
from livekit.agents import function_tool, llm

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import ResourceExhausted, Unavailable
from hocket.client.llm_router import RouterClient
from hocket.client.rag import RagClient
from services.media_gateway.session import llm as session_llm
from services.media_gateway.session.knowledge import KnowledgeSearch
from services.media_gateway.session.llm import LlmConfig, RouterLlm
from services.media_gateway.session.video import FrameBuffer, KeptFrame
from services.media_gateway.turns import tool_schemas
from services.media_gateway.turns.turn_log import TurnLog
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S, until


class Harness:
    """A RouterLlm with its collaborators."""

    def __init__(self, peers, channel, *, with_knowledge: bool, next_event_s: float) -> None:
        numbers = itertools.count(1)
        self.peers = peers
        self.turn_log = TurnLog(lambda: f"turn-{next(numbers)}")
        self.frames = FrameBuffer(4)
        self.knowledge = (
            KnowledgeSearch(RagClient(channel), passages_max=3, wait_s=0.3, debounce_s=0.05) if with_knowledge else None
        )
        config = LlmConfig("demo", "RM_1", next_event_s, 10, 20, 10, attach_newest_frame=False)
        self.llm = RouterLlm(RouterClient(channel), config, self.turn_log, self.knowledge, self.frames)
        self.context = llm.ChatContext.empty()
        self.context.add_message(role="system", content="Be brief.")

    async def ask(self, text: str | None = None, offered=()) -> tuple[str, list[llm.FunctionToolCall], list]:
        if text is not None:
            self.context.add_message(role="user", content=text)
        answer, calls, usages = "", [], []
        async with self.llm.chat(chat_ctx=self.context, tools=list(offered)) as stream:
            async for chunk in stream:
                answer += (chunk.delta.content or "") if chunk.delta else ""
                calls += chunk.delta.tool_calls if chunk.delta else []
                usages += [chunk.usage] if chunk.usage else []
        return answer, calls, usages


@asynccontextmanager
async def llm_harness(*, with_knowledge: bool = False, next_event_s: float = 5):
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with mesh_peers.serving() as peers, MeshChannel(peers.target, lambda: token) as channel:
        harness = Harness(peers, channel, with_knowledge=with_knowledge, next_event_s=next_event_s)
        try:
            yield harness
        finally:
            if harness.knowledge:
                await harness.knowledge.close()


def contents(message: pb.Message) -> list[str | None]:
    return [part.WhichOneof("content") for part in message.parts]


async def test_an_answer_is_streamed_and_its_route_usage_and_cost_are_recorded():
    async with llm_harness() as harness:
        answer, calls, usages = await harness.ask("when do you open")
    request = harness.peers.router.requests[0]
    assert answer.strip() == "The office opens at nine."
    assert calls == []
    assert [(u.prompt_tokens, u.prompt_cached_tokens, u.completion_tokens) for u in usages] == [(100, 60, 20)]
    assert [m.role for m in request.messages] == [pb.ROLE_SYSTEM, pb.ROLE_USER]
    assert (request.room, request.conversation_id, request.turn_id) == ("demo", "RM_1", "turn-1")
    assert request.speculative
    call = harness.turn_log.turn_for("").model_calls[0]
    assert (call.tier, call.model, call.score, call.cost_micro_usd) == ("simple", "small", 0.125, 42)
    assert call.reasons == [{"name": "words", "weight": 0.1, "detail": "few"}]


async def test_passages_and_a_frame_are_attached_to_the_last_user_message():
    async with llm_harness(with_knowledge=True) as harness:
        harness.frames._frames.append(KeptFrame(b"old", "TR_1", time.time()))
        harness.frames._frames.append(KeptFrame(b"jpeg", "TR_1", time.time()))
        await harness.ask("hello there")
        harness.context.add_message(role="assistant", content="Hi.")
        await harness.ask("what is on my screen")
    plain, shown = harness.peers.router.requests
    assert contents(plain.messages[-1]) == ["text", "passage"]
    assert contents(shown.messages[-1]) == ["text", "passage", "image"]
    assert contents(shown.messages[1]) == ["text"]
    assert shown.messages[-1].parts[2].image.data == b"jpeg"
    assert shown.messages[-1].parts[2].image.captured_at.seconds > 0


@pytest.mark.parametrize(("dead", "delay_s"), [(True, 0.0), (False, 2.0)])
async def test_late_or_failed_knowledge_is_left_out(dead, delay_s):
    async with llm_harness(with_knowledge=True) as harness:
        harness.peers.rag.fails, harness.peers.rag.delay_s = dead, delay_s
        answer, _, _ = await harness.ask("when do you open")
    assert answer.strip() == "The office opens at nine."
    assert contents(harness.peers.router.requests[0].messages[-1]) == ["text"]
    assert harness.turn_log.turn_for("").degraded == {"rag"}


async def test_a_prefetched_search_is_used():
    async with llm_harness(with_knowledge=True) as harness:
        harness.knowledge.prefetch("when do")
        harness.knowledge.prefetch("when do you open")
        await asyncio.sleep(0.2)
        await harness.ask("When do you open?")
    assert harness.peers.rag.queries == ["when do you open"]
    assert harness.turn_log.turn_for("").model_calls[0].document_ids == ["hours"]


async def test_passages_of_an_earlier_search_serve_nearly_the_same_question():
    async with llm_harness(with_knowledge=True) as harness:
        await harness.knowledge.passages_for("when do you open on")
        harness.peers.rag.delay_s = 2.0
        found = await harness.knowledge.passages_for("when do you open on Sunday")
        other = await harness.knowledge.passages_for("how much is parking here")
    assert [p.document_id for p in found.passages] == ["hours"]
    assert (list(found.degraded), list(other.passages), list(other.degraded)) == (["rag"], [], ["rag"])


async def create_task(raw_arguments: dict[str, object]) -> str:
    return ""


async def test_a_tool_call_carries_provider_state_back_to_the_router():
    tool = function_tool(create_task, raw_schema=tool_schemas.SCHEMAS[tool_schemas.CREATE_TASK])
    async with llm_harness() as harness:
        harness.peers.router.answer = mesh_peers.calls_tool("create_task", '{"title": "call Bob"}', "Done.")
        _, calls, _ = await harness.ask("remind me to call Bob", [tool])
        call = calls[0]
        harness.context.insert(
            [
                llm.FunctionCall(call_id=call.call_id, name=call.name, arguments=call.arguments, extra=call.extra),
                llm.FunctionCallOutput(call_id=call.call_id, name=call.name, output='{"task_id": "1"}', is_error=False),
            ]
        )
        answer, _, _ = await harness.ask(None, [tool])
    first, second = harness.peers.router.requests
    assert [t.name for t in first.tools] == ["create_task"]
    assert '"required": ["title"]' in first.tools[0].parameters_json_schema
    assert [m.role for m in second.messages[1:]] == [pb.ROLE_USER, pb.ROLE_ASSISTANT, pb.ROLE_TOOL]
    assert second.messages[2].parts[0].provider_state["fake"] == b"thought"
    assert second.messages[3].parts[0].tool_result.content == '{"task_id": "1"}'
    assert answer == "Done."


def failing(error: Exception, after: str = ""):
    async def answer(request):
        yield mesh_peers.route()
        if after:
            yield pb.GenerateResponse(text_delta=after)
        raise error

    return answer


async def silent(request):
    yield mesh_peers.route()
    yield mesh_peers.finish()


async def cut(request):
    yield mesh_peers.route()
    yield pb.GenerateResponse(text_delta="The office")
    yield mesh_peers.finish(pb.FINISH_REASON_CUT)


async def never(request):
    yield mesh_peers.route()
    await asyncio.sleep(60)


async def stalls(request):
    yield mesh_peers.route()
    yield pb.GenerateResponse(text_delta="The office")
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("router_answer", "expected"),
    [
        (failing(Unavailable("all models failed")), session_llm.APOLOGY),
        (failing(ResourceExhausted("spent")), session_llm.APOLOGY_LIMITED),
        (failing(Unavailable("broke"), "The office"), "The office" + session_llm.APOLOGY_CUT),
        (cut, "The office" + session_llm.APOLOGY_CUT),
        (silent, session_llm.APOLOGY),
        (never, session_llm.APOLOGY),
        (stalls, "The office" + session_llm.APOLOGY_CUT),
    ],
)
async def test_a_failed_or_late_answer_becomes_an_apology(router_answer, expected):
    async with llm_harness(next_event_s=0.5) as harness:
        errors = []
        harness.llm.on("error", errors.append)
        harness.peers.router.answer = router_answer
        answer, _, _ = await harness.ask("when do you open")
    assert answer == expected
    assert errors == []
    assert harness.turn_log.turn_for("").degraded == {"llm_router"}


async def test_an_unreachable_router_becomes_an_apology():
    async with MeshChannel("127.0.0.1:1", lambda: "") as channel:
        harness = Harness(None, channel, with_knowledge=False, next_event_s=2)
        answer, _, _ = await harness.ask("when do you open")
    assert answer == session_llm.APOLOGY


async def test_closing_the_stream_cancels_the_call_at_the_router():
    async with llm_harness() as harness:
        harness.peers.router.answer = never
        harness.context.add_message(role="user", content="when do you open")
        stream = harness.llm.chat(chat_ctx=harness.context, tools=[])
        await until(lambda: harness.peers.router.requests)
        await stream.aclose()
        await asyncio.wait_for(harness.peers.router.cancelled.wait(), DEADLINE_S)


async def test_a_long_conversation_keeps_its_instructions_and_newest_items():
    async with llm_harness() as harness:
        for n in range(30):
            harness.context.add_message(role="user", content=f"question {n}")
            harness.context.insert(llm.FunctionCall(call_id=f"c{n}", name="t", arguments="{}"))
            harness.context.insert(llm.FunctionCallOutput(call_id=f"c{n}", name="t", output="x", is_error=False))
        await harness.ask("the last")
    messages = harness.peers.router.requests[0].messages
    assert messages[0].role == pb.ROLE_SYSTEM
    assert messages[-1].parts[0].text == "the last"
    assert messages[1].role != pb.ROLE_TOOL
    assert len(messages) <= 21

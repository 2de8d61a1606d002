"""The model of a session, over a router in process: what is asked, what is said, and the bad days."""

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
from services.media_gateway.session import llm as livekit_llm
from services.media_gateway.session.knowledge import Knowledge
from services.media_gateway.session.llm import LlmRules, RouterLlm
from services.media_gateway.session.video import FrameShelf, KeptFrame
from services.media_gateway.turns import tool_schemas, turn_log
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S


class Asked:
    """A RouterLlm with what is around it."""

    def __init__(self, peers, channel, *, with_knowledge: bool, next_event_s: float) -> None:
        numbers = itertools.count(1)
        self.peers = peers
        self.book = turn_log.TurnBook(lambda: f"turn-{next(numbers)}")
        self.shelf = FrameShelf(4)
        self.knowledge = (
            Knowledge(RagClient(channel), passages_max=3, wait_s=0.3, debounce_s=0.05) if with_knowledge else None
        )
        rules = LlmRules("demo", "RM_1", next_event_s, 10, 20, 10, attach_newest_frame=False)
        self.llm = RouterLlm(RouterClient(channel), rules, self.book, self.knowledge, self.shelf)
        self.context = llm.ChatContext.empty()
        self.context.add_message(role="system", content="Be brief.")

    async def ask(self, text: str | None = None, offered=()) -> tuple[str, list[llm.FunctionToolCall], list]:
        if text is not None:
            self.context.add_message(role="user", content=text)
        said, calls, usages = "", [], []
        async with self.llm.chat(chat_ctx=self.context, tools=list(offered)) as stream:
            async for chunk in stream:
                said += (chunk.delta.content or "") if chunk.delta else ""
                calls += chunk.delta.tool_calls if chunk.delta else []
                usages += [chunk.usage] if chunk.usage else []
        return said, calls, usages


@asynccontextmanager
async def asking(*, with_knowledge: bool = False, next_event_s: float = 5):
    token = TokenMinter(mesh_peers.SECRET).mint("acme", caller="test")
    async with mesh_peers.serving() as peers, MeshChannel(peers.target, lambda: token) as channel:
        asked = Asked(peers, channel, with_knowledge=with_knowledge, next_event_s=next_event_s)
        try:
            yield asked
        finally:
            if asked.knowledge:
                await asked.knowledge.close()


def contents(message: pb.Message) -> list[str]:
    return [part.WhichOneof("content") for part in message.parts]


async def test_an_answer_is_streamed_and_its_route_usage_and_cost_are_noted():
    async with asking() as asked:
        said, calls, usages = await asked.ask("when do you open")
    request = asked.peers.router.requests[0]
    assert said.strip() == "The office opens at nine."
    assert calls == []
    assert [(u.prompt_tokens, u.prompt_cached_tokens, u.completion_tokens) for u in usages] == [(100, 60, 20)]
    assert [m.role for m in request.messages] == [pb.ROLE_SYSTEM, pb.ROLE_USER]
    assert (request.room, request.conversation_id, request.turn_id) == ("demo", "RM_1", "turn-1")
    assert request.speculative
    call = asked.book.serving("").calls[0]
    assert (call.tier, call.model, call.score, call.cost_micro_usd) == ("simple", "small", 0.125, 42)
    assert call.reasons == [{"name": "words", "weight": 0.1, "detail": "few"}]


async def test_knowledge_and_a_picture_go_with_what_the_person_said_last():
    async with asking(with_knowledge=True) as asked:
        asked.shelf._frames.append(KeptFrame(b"old", "TR_1", time.time()))
        asked.shelf._frames.append(KeptFrame(b"jpeg", "TR_1", time.time()))
        await asked.ask("hello there")
        asked.context.add_message(role="assistant", content="Hi.")
        await asked.ask("what is on my screen")
    plain, shown = asked.peers.router.requests
    assert contents(plain.messages[-1]) == ["text", "passage"]
    assert contents(shown.messages[-1]) == ["text", "passage", "image"]
    assert contents(shown.messages[1]) == ["text"]
    assert shown.messages[-1].parts[2].image.data == b"jpeg"
    assert shown.messages[-1].parts[2].image.captured_at.seconds > 0


@pytest.mark.parametrize(("dead", "delay_s"), [(True, 0.0), (False, 2.0)])
async def test_without_knowledge_in_time_the_model_is_asked_all_the_same(dead, delay_s):
    async with asking(with_knowledge=True) as asked:
        asked.peers.rag.dead, asked.peers.rag.delay_s = dead, delay_s
        said, _, _ = await asked.ask("when do you open")
    assert said.strip() == "The office opens at nine."
    assert contents(asked.peers.router.requests[0].messages[-1]) == ["text"]
    assert asked.book.serving("").degraded == {"rag"}


async def test_a_search_begun_while_the_person_spoke_is_used_and_not_made_again():
    async with asking(with_knowledge=True) as asked:
        asked.knowledge.prefetch("when do")
        asked.knowledge.prefetch("when do you open")
        await asyncio.sleep(0.2)
        await asked.ask("When do you open?")
    assert asked.peers.rag.queries == ["when do you open"]
    assert asked.book.serving("").calls[0].document_ids == ["hours"]


async def test_when_the_last_search_is_late_a_close_earlier_one_serves():
    async with asking(with_knowledge=True) as asked:
        await asked.knowledge.find("when do you open on")
        asked.peers.rag.delay_s = 2.0
        found = await asked.knowledge.find("when do you open on Sunday")
        other = await asked.knowledge.find("how much is parking here")
    assert [p.document_id for p in found.passages] == ["hours"]
    assert (list(found.degraded), list(other.passages), list(other.degraded)) == (["rag"], [], ["rag"])


async def create_task(raw_arguments: dict[str, object]) -> str:
    return ""


async def test_a_tool_call_comes_whole_with_the_vendors_state_and_goes_back_with_it():
    tool = function_tool(create_task, raw_schema=tool_schemas.SCHEMAS[tool_schemas.CREATE_TASK])
    async with asking() as asked:
        asked.peers.router.answer = mesh_peers.calls("create_task", '{"title": "call Bob"}', "Done.")
        _, calls, _ = await asked.ask("remind me to call Bob", [tool])
        call = calls[0]
        asked.context.insert(
            [
                llm.FunctionCall(call_id=call.call_id, name=call.name, arguments=call.arguments, extra=call.extra),
                llm.FunctionCallOutput(call_id=call.call_id, name=call.name, output='{"task_id": "1"}', is_error=False),
            ]
        )
        said, _, _ = await asked.ask(None, [tool])
    first, second = asked.peers.router.requests
    assert [t.name for t in first.tools] == ["create_task"]
    assert '"required": ["title"]' in first.tools[0].parameters_json_schema
    assert [m.role for m in second.messages[1:]] == [pb.ROLE_USER, pb.ROLE_ASSISTANT, pb.ROLE_TOOL]
    assert second.messages[2].parts[0].provider_state["fake"] == b"thought"
    assert second.messages[3].parts[0].tool_result.content == '{"task_id": "1"}'
    assert said == "Done."


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
    ("answer", "expected"),
    [
        (failing(Unavailable("all models failed")), livekit_llm.APOLOGY),
        (failing(ResourceExhausted("spent")), livekit_llm.APOLOGY_LIMITED),
        (failing(Unavailable("broke"), "The office"), "The office" + livekit_llm.APOLOGY_CUT),
        (cut, "The office" + livekit_llm.APOLOGY_CUT),
        (silent, livekit_llm.APOLOGY),
        (never, livekit_llm.APOLOGY),
        (stalls, "The office" + livekit_llm.APOLOGY_CUT),
    ],
)
async def test_whatever_fails_something_is_said_and_no_error_reaches_the_session(answer, expected):
    async with asking(next_event_s=0.5) as asked:
        errors = []
        asked.llm.on("error", errors.append)
        asked.peers.router.answer = answer
        said, _, _ = await asked.ask("when do you open")
    assert said == expected
    assert errors == []
    assert asked.book.serving("").degraded == {"llm_router"}


async def test_a_router_that_is_not_there_is_apologised_for():
    async with MeshChannel("127.0.0.1:1", lambda: "") as channel:
        asked = Asked(None, channel, with_knowledge=False, next_event_s=2)
        said, _, _ = await asked.ask("when do you open")
    assert said == livekit_llm.APOLOGY


async def test_an_answer_that_is_dropped_is_cancelled_at_the_router():
    async with asking() as asked:
        asked.peers.router.answer = never
        asked.context.add_message(role="user", content="when do you open")
        stream = asked.llm.chat(chat_ctx=asked.context, tools=[])
        async with asyncio.timeout(DEADLINE_S):
            while not asked.peers.router.requests:  # noqa: ASYNC110 - the request comes as it comes
                await asyncio.sleep(0.01)
        await stream.aclose()
        await asyncio.wait_for(asked.peers.router.cancelled.wait(), DEADLINE_S)


async def test_a_long_conversation_is_cut_to_its_end_and_keeps_its_instructions():
    async with asking() as asked:
        for n in range(30):
            asked.context.add_message(role="user", content=f"question {n}")
            asked.context.insert(llm.FunctionCall(call_id=f"c{n}", name="t", arguments="{}"))
            asked.context.insert(llm.FunctionCallOutput(call_id=f"c{n}", name="t", output="x", is_error=False))
        await asked.ask("the last")
    messages = asked.peers.router.requests[0].messages
    assert messages[0].role == pb.ROLE_SYSTEM
    assert messages[-1].parts[0].text == "the last"
    assert messages[1].role != pb.ROLE_TOOL
    assert len(messages) <= 21

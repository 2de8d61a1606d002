"""Every RPC of the router over a real gRPC socket, answered by the embedded answerer."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hocket.llm_router.v1 import llm_router_pb2 as pb
from PIL import Image

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import MeshServer
from hocket.client.llm_router import RouterClient
from services.llm_router.__main__ import build
from services.llm_router.settings import Settings

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)
CREATE_TASK = pb.Tool(
    name="create_task",
    description="Create a task.",
    parameters_json_schema=json.dumps(
        {
            "type": "object",
            "properties": {"title": {"type": "string"}, "due": {"type": "string"}},
            "required": ["title"],
        }
    ),
)


@asynccontextmanager
async def routing(token: str | None = None, **values: object) -> AsyncIterator[RouterClient]:
    settings = Settings(**{"jwt_secret": SECRET, "drain_grace_s": 0.2, **values})
    async with AsyncExitStack() as resources:
        server = MeshServer("llm_router", settings, await build(settings, resources))
        await server.start()
        resources.push_async_callback(server.stop)
        given = MINTER.mint("acme", caller="test") if token is None else token
        channel = await resources.enter_async_context(MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: given))
        yield RouterClient(channel)


def user(*parts: pb.Part | str) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text=p) if isinstance(p, str) else p for p in parts])


def asking(*messages: pb.Message, **fields: object) -> pb.GenerateRequest:
    return pb.GenerateRequest(messages=messages, **fields)


async def answer(client: RouterClient, request: pb.GenerateRequest) -> list[pb.GenerateResponse]:
    async with aclosing(client.generate(request, timeout_s=10)) as events:
        return [event async for event in events]


def text_of(events: list[pb.GenerateResponse]) -> str:
    return "".join(e.text_delta for e in events)


def png(colour: str = "blue", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


async def test_an_answer_is_a_route_deltas_and_a_finish_with_usage_and_cost():
    passage = pb.Part(passage=pb.Passage(title="Opening hours", text="We open at 9 on weekdays. Parking is free."))
    async with routing() as client:
        events = await answer(client, asking(user("When do you open?", passage)))
    kinds = [e.WhichOneof("event") for e in events]
    assert (kinds[0], kinds[-1]) == ("route", "finish")
    assert set(kinds[1:-1]) == {"text_delta"}
    assert len(kinds) > 4
    assert text_of(events) == "We open at 9 on weekdays."
    route, finish = events[0].route, events[-1].finish
    assert (route.model, route.provider, route.attempt) == ("embedded", "embedded", 1)
    assert route.tier != pb.TIER_UNSPECIFIED
    assert route.reasons
    assert finish.reason == pb.FINISH_REASON_STOP
    assert finish.usage.output_tokens > 0
    assert finish.cost_micro_usd == 0
    assert len(finish.cost_event_ids) == 1


async def test_a_task_request_becomes_a_tool_call_and_its_result_is_confirmed():
    asked = user("Please remind me to call Anna tomorrow at 5 pm.")
    async with routing() as client:
        first = await answer(client, asking(asked, tools=[CREATE_TASK]))
        call = next(e.tool_call for e in first if e.HasField("tool_call"))
        made = pb.Message(role=pb.ROLE_ASSISTANT, parts=[pb.Part(tool_call=call)])
        result = pb.ToolResult(call_id=call.call_id, name=call.name, content='{"task_id": "1", "title": "Call Anna"}')
        done = pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)])
        second = await answer(client, asking(asked, made, done, tools=[CREATE_TASK]))
    assert json.loads(call.arguments_json) == {"title": "Call Anna", "due": "tomorrow at 5 pm"}
    assert first[-1].finish.reason == pb.FINISH_REASON_TOOL_CALLS
    assert "Call Anna" in text_of(second)


async def test_an_image_is_described_by_size_and_brightness_only():
    image = pb.Part(image=pb.Image(data=png(), mime_type="image/png"))
    async with routing() as client:
        said = text_of(await answer(client, asking(user("What do you see on my screen?", image))))
    assert "cannot read" in said
    assert "64 by 48" in said
    assert "blue" in said


async def test_an_unknown_answer_is_reported_as_unknown():
    passage = pb.Part(passage=pb.Passage(title="Parking", text="Parking is free."))
    async with routing() as client:
        said = text_of(await answer(client, asking(user("Who won the chess championship?", passage))))
    assert said.startswith("I don't know that.")


async def test_route_explains_the_decision_with_costs_of_the_alternatives():
    async with routing() as client:
        decision = await client.route(asking(user("Turn on the light."), pin_tier=pb.TIER_COMPLEX))
    assert decision.tier == pb.TIER_COMPLEX
    assert decision.reasons[0].name == "pinned_tier"
    assert {"claude-sonnet-5-5", "gemini-2.5-flash-lite"} <= {a.model for a in decision.alternatives}
    assert any(a.estimated_cost_micro_usd > 0 for a in decision.alternatives)


async def test_models_are_listed_by_tier_with_prices_end_of_life_and_unavailable_reason():
    async with routing() as client:
        models = await client.list_models()
        health = await client.get_health()
    assert [m.tier for m in models] == sorted(m.tier for m in models)
    sonnet = next(m for m in models if m.alias == "claude-sonnet-4-5")
    assert not sonnet.available
    assert sonnet.end_of_life.seconds > 0
    assert sonnet.price.input_micro_usd_per_mtok == 3_000_000
    assert any(m.available and m.alias == "embedded" for m in models)
    assert {h.breaker for h in health} == {pb.BREAKER_STATE_CLOSED}


async def test_the_mix_holds_its_shares_over_300_equal_requests():
    request = asking(user("Turn on the light."))
    async with routing() as client:
        tiers = [(await answer(client, request))[0].route.tier for _ in range(300)]
    shares = {pb.TIER_SIMPLE: 0.60, pb.TIER_MODERATE: 0.25, pb.TIER_COMPLEX: 0.15}
    assert sum(abs(tiers.count(t) / 300 - share) for t, share in shares.items()) <= 0.02


BAD = {
    "messages": asking(),
    "messages[0].role": asking(pb.Message(parts=[pb.Part(text="x")])),
    "messages[0].parts": asking(pb.Message(role=pb.ROLE_USER)),
    "messages[0].parts[0].content": asking(user(pb.Part())),
    "messages[0].parts[1].image.data": asking(user("x", pb.Part(image=pb.Image(data=b"no", mime_type="image/png")))),
    "messages[0].parts[0].image.mime_type": asking(user(pb.Part(image=pb.Image(data=png(), mime_type="image/gif")))),
    "messages[1].parts[0].tool_result.call_id": asking(
        user("x"), pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=pb.ToolResult(call_id="a", name="b"))])
    ),
    "tools[0].name": asking(user("x"), tools=[pb.Tool(name="has space")]),
    "tools[0].parameters_json_schema": asking(
        user("x"),
        tools=[pb.Tool(name="t", parameters_json_schema='{"type":"object","properties":{"a":{"type":"no"}}}')],
    ),
    "response_json_schema": asking(user("x"), response_json_schema="{"),
    "tools[1].parameters_json_schema": asking(
        user("x"),
        tools=[
            pb.Tool(name="good"),
            pb.Tool(name="t", parameters_json_schema='{"type":"object","properties":{"a":{"maximum":1e999}}}'),
        ],
    ),
    "messages[1].parts[0].tool_call.arguments_json": asking(
        user("x"),
        pb.Message(
            role=pb.ROLE_ASSISTANT,
            parts=[pb.Part(tool_call=pb.ToolCall(call_id="a", name="b", arguments_json=r'{"x": "\ud800"}'))],
        ),
    ),
    "messages[0].parts[0].image.captured_at": asking(
        user(
            pb.Part(
                image=pb.Image(data=png(), mime_type="image/png", captured_at=Timestamp(seconds=10**15)),
            )
        )
    ),
    "max_output_tokens": asking(user("x"), max_output_tokens=-1),
    "pin_model": asking(user("x"), pin_model="gpt-7"),
    "pin_tier": asking(user("x"), pin_tier=9),
    "tool_choice": asking(user("x"), tool_choice=pb.TOOL_CHOICE_REQUIRED),
}


@pytest.mark.parametrize("field", BAD)
async def test_invalid_input_is_refused_with_its_field_name(field: str):
    async with routing() as client:
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(client, BAD[field])
        with pytest.raises(errors.InvalidArgument) as routed:
            await client.route(BAD[field])
    assert list(caught.value.fields) == [field]
    assert list(routed.value.fields) == [f"request.{field}"]


async def test_too_many_parts_are_refused():
    many = [user(*["x"] * 100) for _ in range(41)]
    async with routing() as client:
        with pytest.raises(errors.InvalidArgument, match="hold 4100 parts; send at most 4096") as caught:
            await answer(client, asking(*many))
    assert list(caught.value.fields) == ["messages"]
    assert caught.value.reason == "TOO_LARGE"


async def test_five_megabytes_of_text_and_a_tool_call_loop_are_refused():
    rounds = [user("go")]
    for i in range(17):
        call = pb.ToolCall(call_id=f"c{i}", name="again", arguments_json="{}")
        rounds.append(pb.Message(role=pb.ROLE_ASSISTANT, parts=[pb.Part(tool_call=call)]))
        result = pb.ToolResult(call_id=f"c{i}", name="again", content="more")
        rounds.append(pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)]))
    async with routing() as client:
        with pytest.raises(errors.InvalidArgument, match="stop the loop"):
            await answer(client, asking(*rounds))
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(client, asking(user("x" * 5_000_000)))
    assert list(caught.value.fields) == ["messages"]


async def test_a_json_schema_that_no_configured_model_serves_is_a_failed_precondition():
    async with routing() as client:
        with pytest.raises(errors.FailedPrecondition) as caught:
            await answer(client, asking(user("x"), response_json_schema='{"type": "object"}'))
    assert caught.value.reason == "NO_CAPABLE_MODEL"


@pytest.mark.parametrize("token", ["", TokenMinter("another-secret-of-at-least-32-bytes").mint("acme", caller="test")])
async def test_a_missing_or_foreign_token_is_refused(token: str):
    async with routing(token) as client:
        with pytest.raises(errors.Unauthenticated):
            await answer(client, asking(user("x")))

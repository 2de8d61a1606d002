"""Requests are translated or refused by field; answers are translated."""

from __future__ import annotations

import json
import tomllib

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.chassis.errors import InvalidArgument
from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.catalog.schema import read_table
from services.llm_router.chat.events import TextDelta, ToolCallEvent
from services.llm_router.chat.request import MixMode, Role, Tier, ToolCall
from services.llm_router.wire.requests import outcome_from_proto, request_from_proto
from services.llm_router.wire.responses import event_to_proto

TABLE = read_table(tomllib.loads(shipped_table()))
NUMBERS = st.integers(-3, 9)
TEXTS = st.sampled_from(["", "x", "{}", "[]", '{"type":"object"}', '{"type":7}', "{", "c1", "weather", "🙂" * 5, "a b"])
PARTS = st.one_of(
    st.builds(lambda t: pb.Part(text=t), TEXTS),
    st.builds(lambda d, m: pb.Part(image=pb.Image(data=d, mime_type=m)), st.binary(max_size=40), TEXTS),
    st.builds(lambda i, n, a: pb.Part(tool_call=pb.ToolCall(call_id=i, name=n, arguments_json=a)), TEXTS, TEXTS, TEXTS),
    st.builds(lambda i, c: pb.Part(tool_result=pb.ToolResult(call_id=i, content=c)), TEXTS, TEXTS),
    st.builds(lambda t: pb.Part(passage=pb.Passage(text=t)), TEXTS),
    st.just(pb.Part()),
)
MESSAGES = st.builds(lambda r, p: pb.Message(role=r, parts=p), NUMBERS, st.lists(PARTS, max_size=3))
REQUESTS = st.builds(
    lambda m, n, s, c, o, t, x, a, r: pb.GenerateRequest(
        messages=m,
        tools=[pb.Tool(name=n, parameters_json_schema=s)] if n else [],
        tool_choice=c,
        max_output_tokens=o,
        pin_tier=t,
        mix_mode=x,
        pin_model=a,
        response_json_schema=r,
    ),
    st.lists(MESSAGES, max_size=4),
    TEXTS,
    TEXTS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["", "embedded", "gpt"]),
    TEXTS,
)


def fields_refused(wire: pb.GenerateRequest) -> list[str]:
    """The fields for which `wire` is refused; none when it is read."""
    try:
        request_from_proto(wire, TABLE)
    except InvalidArgument as error:
        return list(error.fields)
    return []


@settings(max_examples=400, deadline=None)
@given(REQUESTS)
def test_any_request_is_parsed_or_refused_with_one_field_name(wire: pb.GenerateRequest):
    assert len(fields_refused(wire)) <= 1


def test_parsed_requests_equal_the_sent_ones():
    tool = pb.Tool(name="t", description="d", parameters_json_schema='{"type":"object"}')
    wire = pb.GenerateRequest(
        messages=[pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text="x", provider_state={"gemini": b"s"})])],
        tools=[tool],
        conversation_id="c",
        pin_tier=pb.TIER_COMPLEX,
        mix_mode=pb.MIX_MODE_CAP,
    )
    read = request_from_proto(wire, TABLE)
    assert (read.messages[0].role, read.messages[0].words) == (Role.USER, "x")
    assert read.messages[0].parts[0].state == {"gemini": b"s"}
    assert (read.tools[0].name, read.conversation_id) == ("t", "c")
    assert (read.pin_tier, read.mix_mode) == (Tier.COMPLEX, MixMode.CAP)


@pytest.mark.parametrize("depth", [100, 3000])
def test_a_deep_schema_is_parsed_or_refused(depth: int):
    schema = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    wire = pb.GenerateRequest(
        messages=[pb.Message(role=pb.ROLE_USER, parts=[pb.Part(text="x")])], response_json_schema=schema
    )
    assert fields_refused(wire) in ([], ["response_json_schema"])


def test_outcomes_are_lower_case_words():
    assert outcome_from_proto(pb.RecordOutcomeRequest(turn_id="t", outcome=pb.OUTCOME_RE_ASKED)) == ("t", "re_asked")
    with pytest.raises(InvalidArgument):
        outcome_from_proto(pb.RecordOutcomeRequest(turn_id="", outcome=pb.OUTCOME_RE_ASKED))


def test_a_lone_surrogate_is_sent_as_the_replacement_character():
    half = json.loads('"a\\ud83d"')
    assert event_to_proto(TextDelta(half)).text_delta == "a�"
    assert event_to_proto(TextDelta("🙂")).text_delta == "🙂"
    call = ToolCall("c", "t", json.dumps({"a": half}, ensure_ascii=False))
    assert json.loads(event_to_proto(ToolCallEvent(call)).tool_call.arguments_json) == {"a": "a�"}

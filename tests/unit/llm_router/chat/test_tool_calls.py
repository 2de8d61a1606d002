"""A forwarded tool call is accepted when it is sent back."""

from __future__ import annotations

import pytest

from services.llm_router.chat.events import ProviderStateEvent, ToolCallEvent
from services.llm_router.chat.request import (
    CALL_ID_CHARACTERS_MAX,
    TOOL_NAME,
    Message,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
)
from services.llm_router.chat.tool_calls import ToolCallLog, parse_arguments
from services.llm_router.errors import FailureKind, ModelFailure

REQUEST = Request(
    (
        Message(Role.USER, (Text("Hello?"),)),
        Message(Role.ASSISTANT, (ToolCall("call_0", "weather", "{}"),)),
    ),
    tools=(Tool("weather", "The weather now.", {"type": "object"}),),
)


def call(call_id: str = "a", name: str = "weather", arguments: str = "{}") -> ToolCallEvent:
    return ToolCallEvent(ToolCall(call_id, name, arguments))


def test_a_valid_tool_call_is_unchanged():
    made = call()
    assert ToolCallLog.of(REQUEST).accept(made) is made


@pytest.mark.parametrize("call_id", ["", "x" * 300, "call_0"])
def test_an_invalid_call_id_is_replaced_also_in_its_provider_state(call_id: str):
    book = ToolCallLog.of(REQUEST)
    ours = book.accept(call(call_id)).call.call_id
    assert 0 < len(ours) <= CALL_ID_CHARACTERS_MAX
    assert ours not in {"call_0", call_id}
    assert book.accept_state(ProviderStateEvent("gemini", call_id, b"s")).call_id == ours


def test_two_calls_of_one_answer_never_share_an_id():
    book = ToolCallLog.of(REQUEST)
    first, second = book.accept(call("same")), book.accept(call("same"))
    assert first.call.call_id == "same" != second.call.call_id
    assert book.accept_state(ProviderStateEvent("gemini", "same", b"")).call_id == second.call.call_id
    assert book.accept_state(ProviderStateEvent("gemini", "", b"")).call_id == ""


@pytest.mark.parametrize("name", ["default_api.weather", "default_api:weather", "functions.v1.weather"])
def test_a_namespace_prefix_of_a_tool_name_is_removed(name: str):
    assert ToolCallLog.of(REQUEST).accept(call(name=name)).call.name == "weather"


def test_a_call_of_an_unknown_tool_is_forwarded():
    made = call(name="no_such_tool")
    assert TOOL_NAME.fullmatch(made.call.name)
    assert ToolCallLog.of(REQUEST).accept(made) is made


@pytest.mark.parametrize(
    "made",
    [
        call(name="default_api.other"),
        call(name="my weather"),
        call(name=""),
        call(arguments="[1]"),
        call(arguments="{"),
        call(arguments='{"x": NaN}'),
    ],
)
def test_an_invalid_tool_call_ends_the_answer(made: ToolCallEvent):
    with pytest.raises(ModelFailure) as caught:
        ToolCallLog.of(REQUEST).accept(made)
    assert caught.value.kind is FailureKind.CUT


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", {}),
        ("null", {}),
        ('{"x": [1.5, true]}', {"x": [1.5, True]}),
        ('{"x": NaN, "y": -Infinity, "z": -1e999}', {"x": None, "y": None, "z": None}),
        ('{"x": "\\ud83d\\ude00 \\ud83d"}', {"x": "\U0001f600 \ufffd"}),
        ('{"x": "\ud83d\ude00"}', {"x": "\U0001f600"}),
    ],
)
def test_arguments_become_valid_json(written: str, read: object):
    assert parse_arguments(written) == read


@pytest.mark.parametrize("written", ['{"x": ', "[1]", '"x"', "7"])
def test_arguments_that_are_not_an_object_are_refused(written: str):
    with pytest.raises(ValueError, match=r".+"):
        parse_arguments(written)

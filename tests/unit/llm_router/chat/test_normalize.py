"""Live conversations are normalized for all vendors without losing content."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm_router.chat.normalize import NOT_RUN, normalize_turns
from services.llm_router.chat.request import Message, Passage, Role, Text, ToolCall, ToolResult


def user(*parts: object) -> Message:
    return Message(Role.USER, tuple(Text(p) if isinstance(p, str) else p for p in parts))  # type: ignore[misc]


def agent(*parts: object) -> Message:
    return Message(Role.ASSISTANT, tuple(Text(p) if isinstance(p, str) else p for p in parts))  # type: ignore[misc]


CALL = ToolCall("c1", "weather", "{}")
RESULT = Message(Role.TOOL, (ToolResult("c1", "weather", "rain"),))


def test_an_answered_call_keeps_its_result_first_in_the_next_turn():
    turns = normalize_turns([user("Weather?"), agent(CALL), RESULT, user("And?")])
    assert turns[2] == (Role.USER, [ToolResult("c1", "weather", "rain"), Text("And?")])


def test_a_tool_result_after_a_barge_in_moves_to_its_call():
    turns = normalize_turns([user("Weather?"), agent(CALL), user("Wait."), RESULT])
    assert turns[2] == (Role.USER, [ToolResult("c1", "weather", "rain"), Text("Wait.")])


def test_a_tool_result_without_a_name_gets_the_name_of_its_call():
    unnamed = Message(Role.TOOL, (ToolResult("c1", "", "rain"),))
    assert normalize_turns([user("Weather?"), agent(CALL), unnamed])[2][1] == [ToolResult("c1", "weather", "rain")]


def test_an_open_tool_call_gets_a_not_run_result():
    turns = normalize_turns([user("Weather?"), agent(CALL), user("Never mind.")])
    assert turns[2][1][0] == ToolResult("c1", "weather", NOT_RUN, is_error=True)


MESSAGES = st.lists(
    st.sampled_from([user("a"), agent("b"), agent("c", CALL), RESULT, user(""), agent(" \n", "d")]),
    min_size=1,
    max_size=12,
)


@given(MESSAGES)
def test_turns_alternate_from_user_to_user_and_keep_every_word(messages: list[Message]):
    turns = normalize_turns(messages)
    roles = [role for role, _ in turns]
    assert roles[0] is roles[-1] is Role.USER
    assert all(a is not b for a, b in itertools.pairwise(roles))
    said = [p for m in messages for p in m.parts if isinstance(p, Text) and p.text.strip()]
    kept = [p for _, parts in turns for p in parts if isinstance(p, Text)]
    assert [p for p in kept if p in said] == said


def test_a_passage_is_marked_as_reference_text():
    shown = Passage("d", 'The "big" book', "Open at 9.").prompt_text
    assert shown == "<passage title=\"The 'big' book\">\nOpen at 9.\n</passage>"


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u00a0"])
def test_blank_texts_are_dropped_and_turns_stay_valid(blank: str):
    turns = normalize_turns([user("Hello?", blank), agent(blank), user(blank), agent("Hi."), user(blank)])
    assert turns == [(Role.USER, [Text("Hello?")]), (Role.ASSISTANT, [Text("Hi.")]), (Role.USER, [Text("(Go on.)")])]


def test_a_blank_text_is_kept_for_the_provider_of_its_state():
    signed = Text("", {"gemini": b"signed"})
    said = [user("Hello?"), agent(signed, "Hi.", Text(" ", {"gemini": b""})), user("And?", signed)]
    assert normalize_turns(said, keeps_state_of="gemini")[1] == (Role.ASSISTANT, [signed, Text("Hi.")])
    assert normalize_turns(said, keeps_state_of="gemini")[2] == (Role.USER, [Text("And?")])
    assert normalize_turns(said, keeps_state_of="anthropic")[1] == (Role.ASSISTANT, [Text("Hi.")])
    assert normalize_turns(said)[1] == (Role.ASSISTANT, [Text("Hi.")])

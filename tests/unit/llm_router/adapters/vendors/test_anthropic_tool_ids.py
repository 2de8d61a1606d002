"""Call ids of other vendors are converted for Claude and stay distinct."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.llm_router.adapters.files.tiers_file import TiersFile
from services.llm_router.adapters.vendors.anthropic_request import params_of, wire_id
from services.llm_router.chat.request import Message, Request, Role, Text, ToolCall, ToolResult

SONNET = TiersFile(None, lambda t: t, lambda: 1.8e9).current.models["claude-sonnet-5-5"]


def test_a_call_id_valid_for_claude_is_kept():
    for call_id in ("toolu_01-x", "a" * 64):
        assert wire_id(call_id) == call_id


def test_invalid_call_ids_stay_distinct():
    ids = ["a.b", "a:b", "a b", "a" * 65, "a" * 66, "a" * 256, "ü", "ö", "", ".", "a.b" * 40, "a:b" * 40]
    assert len({wire_id(i) for i in ids}) == len(ids)


@given(st.text())
def test_every_call_id_becomes_valid_for_claude(call_id: str):
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire_id(call_id))


def test_a_call_and_its_result_have_the_same_id_for_claude():
    said = (
        Message(Role.USER, (Text("Hello?"),)),
        Message(Role.ASSISTANT, (ToolCall("a.b", "t", "{}"),)),
        Message(Role.TOOL, (ToolResult("a.b", "t", "rain"),)),
    )
    _, called, done = params_of(Request(said), SONNET)["messages"]
    assert called["content"][0]["id"] == done["content"][0]["tool_use_id"] != "a_b"

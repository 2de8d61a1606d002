"""Translated requests contain nothing that the vendor rejects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from services.llm_router.adapters.files.tiers_file import TiersFile
from services.llm_router.adapters.vendors import anthropic_request, gemini_request, openai_request
from services.llm_router.adapters.vendors.anthropic_request import thinking_state
from services.llm_router.chat.normalize import NOT_RUN
from services.llm_router.chat.request import Message, Part, Request, Role, Text, ToolCall, ToolResult

MODELS = TiersFile(None, lambda t: t.with_vendor_model("openai-compatible", "m"), lambda: 1.8e9).current.models
SONNET, FLASH, LOCAL = (MODELS[a] for a in ("claude-sonnet-5-5", "gemini-3.8-flash", "openai-compatible"))
GEMINI = {"gemini": b"signature"}


def asked(*parts: Part, result: ToolResult | None = None) -> Request:
    """A conversation in which the assistant said `parts`, and a tool gave `result`."""
    done = (Message(Role.TOOL, (result,)),) if result else ()
    return Request((Message(Role.USER, (Text("Hello?"),)), Message(Role.ASSISTANT, parts), *done))


def to_claude(request: Request) -> list[dict[str, Any]]:
    return anthropic_request.params_of(request, SONNET)["messages"]


def to_gemini(request: Request) -> list[types.Part]:
    """The parts of every turn, as they are written to the vendor."""
    contents = gemini_request.contents_of(request, FLASH)
    json.dumps([c.model_dump(mode="json") for c in contents], allow_nan=False, ensure_ascii=False).encode()
    return [p for c in contents for p in c.parts or ()]


def test_thinking_before_a_blank_text_is_sent_to_claude_only_with_further_content():
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    thought = Text("\n", {"anthropic": thinking_state(SONNET.vendor_model, [block])})
    call = ToolCall("c", "t", "{}")
    assert [b["type"] for b in to_claude(asked(thought, call))[1]["content"]] == ["thinking", "tool_use"]
    assert [b["type"] for b in to_claude(asked(Text("Hm."), thought))[1]["content"]] == ["text"]
    assert [m["role"] for m in to_claude(asked(thought))] == ["user"]


def test_blank_results_for_claude_are_empty_and_errors_have_text():
    for is_error, told in ((False, None), (True, "The tool failed.")):
        *_, done = to_claude(asked(ToolCall("c", "t", "{}"), result=ToolResult("c", "t", " ", is_error)))
        assert done["content"][0].get("content") == told


def test_tool_failures_are_text_in_the_openai_api():
    failed = asked(ToolCall("c", "t", "{}"), result=ToolResult("c", "t", "no such city", is_error=True))
    worked = asked(ToolCall("c", "t", "{}"), result=ToolResult("c", "t", "rain"))
    told = [openai_request.params_of(r, LOCAL)["messages"][-1] for r in (failed, worked, asked(ToolCall("c", "t", "")))]
    assert [t["content"] for t in told] == ["Error: no such city", "rain", f"Error: {NOT_RUN}"]


def test_a_blank_answer_with_state_is_not_sent_to_openai():
    messages = openai_request.params_of(asked(Text("", GEMINI)), LOCAL)["messages"]
    assert messages == [{"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize("system", ["", " \n "])
def test_blank_instructions_are_not_sent(system: str):
    request = Request((Message(Role.SYSTEM, (Text(system),)), Message(Role.USER, (Text("Hello?"),))))
    assert "system" not in anthropic_request.params_of(request, SONNET)
    assert gemini_request.config_of(request, FLASH).system_instruction is None
    assert [m["role"] for m in openai_request.params_of(request, LOCAL)["messages"]] == ["user"]


def test_gemini_gets_its_signature_back_on_an_empty_text():
    _, said, *_ = to_gemini(asked(Text("", GEMINI), Text(" ")))
    assert (said.text, said.thought_signature) == ("", b"signature")


def calls_and_results(call: ToolCall) -> list[str | None]:
    parts = to_gemini(asked(call, result=ToolResult(call.call_id, "t", "rain")))
    return [(p.function_call or p.function_response).id for p in parts if p.function_call or p.function_response]


def test_gemini_gets_its_own_call_ids_back():
    assert calls_and_results(ToolCall("u6vi4u3q", "t", "{}", GEMINI)) == ["u6vi4u3q", "u6vi4u3q"]
    assert calls_and_results(ToolCall("second", "t", "{}", {"gemini": b""})) == ["second", "second"]


def test_gemini_gets_no_foreign_call_ids():
    assert calls_and_results(ToolCall("toolu_1", "t", "{}", {"anthropic": b"x"})) == [None, None]
    assert calls_and_results(ToolCall(f"call_{'0af1' * 6}", "t", "{}", GEMINI)) == [None, None]


def told_gemini(content: str) -> Any:
    *_, part = to_gemini(asked(ToolCall("c", "t", "{}"), result=ToolResult("c", "t", content)))
    assert part.function_response
    assert part.function_response.response
    return part.function_response.response["result"]


def nested(levels: int) -> str:
    return '{"a": ' * (levels - 1) + "[1]" + "}" * (levels - 1)


@pytest.mark.parametrize("content", ['{"a": [1, 2.5, null]}', "7", '"\\u00fc \\ud83d\\ude00"', "[]"])
def test_a_json_result_is_sent_to_gemini_as_json(content: str):
    assert told_gemini(content) == json.loads(content)


@pytest.mark.parametrize(
    "content",
    [
        "rain",
        '{"a": NaN}',
        "Infinity",
        '[{"a": -Infinity}]',
        "1e999",
        '{"a": "\\ud83d"}',
        '{"\\ud83d": 1}',
        "9" * 5000,
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_a_result_outside_strict_json_is_sent_to_gemini_as_text(content: str):
    assert told_gemini(content) == content


def test_a_deeply_nested_result_is_sent_to_gemini_as_text():
    assert told_gemini(nested(64)) == json.loads(nested(64))
    assert told_gemini(nested(65)) == nested(65)

"""Required capabilities and estimated tokens of a request."""

from __future__ import annotations

from services.llm_router.chat.request import (
    IMAGE_TOKENS,
    ImagePart,
    Message,
    Passage,
    Request,
    Role,
    Text,
    Tool,
    ToolChoice,
    tokens_of,
)

TOOL = Tool("t", "does", {"type": "object"})
PICTURE = ImagePart(b"x", "image/png", 10, 10)


def request(*parts: object, **values: object) -> Request:
    return Request((Message(Role.SYSTEM, (Text("Be brief."),)), Message(Role.USER, parts)), **values)


def test_required_capabilities_follow_from_images_tools_and_schema():
    assert request(Text("x")).required_capabilities == {"text"}
    assert request(PICTURE, tools=(TOOL,), response_schema={}).required_capabilities == {
        "text",
        "vision",
        "tools",
        "json_schema",
    }
    assert "tools" not in request(Text("x"), tools=(TOOL,), tool_choice=ToolChoice.NONE).required_capabilities


def test_instructions_are_separate_from_turns():
    asked = request(Text("x"))
    assert (asked.system, len(asked.turns)) == ("Be brief.", 1)


def test_passages_in_instructions_are_included_and_blank_instructions_dropped():
    told = Request((Message(Role.SYSTEM, (Text("Be brief."), Passage("d", "Wifi", "The code is 7."))),))
    assert told.system == 'Be brief.\n<passage title="Wifi">\nThe code is 7.\n</passage>'
    assert told.prefix_tokens > request().prefix_tokens
    assert Request((Message(Role.SYSTEM, (Text(" \n"),)), Message(Role.SYSTEM, (Text(""),)))).system == ""


def test_prompt_tokens_count_every_part_in_every_script():
    assert request(Text("x"), PICTURE).prompt_tokens >= IMAGE_TOKENS + request(Text("x")).prefix_tokens
    assert tokens_of("привет мир") > tokens_of("hello moon")
    assert request(Passage("d", "t", "w " * 1000)).prompt_tokens > 500
    assert tokens_of("") == 0

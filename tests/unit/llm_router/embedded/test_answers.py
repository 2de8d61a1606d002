"""The embedded answerer is short and adds nothing to the given material."""

from __future__ import annotations

import pytest

from services.llm_router.chat.request import (
    ImagePart,
    Message,
    Passage,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from services.llm_router.embedded.answers import (
    UNKNOWN,
    UNKNOWN_ALONE,
    ImageSummary,
    Reply,
    ToolRequest,
    respond,
    split_words,
)

NOW_S = 1000.0
HOURS = Passage("1", "Opening hours", "We open at 9 on weekdays. Parking is free.")
PICTURE = ImagePart(b"x", "image/png", 640, 480, captured_at_s=NOW_S - 3)
SEARCH, TASK, NOTE, PROFILE = (
    Tool(n, "", {"type": "object"}) for n in ("search_knowledge", "create_task", "log_insight", "get_user_profile")
)


def summarize_image(picture: ImagePart) -> ImageSummary:
    return ImageSummary(picture.width_px, picture.height_px, 0.9, "blue")


def asked(*parts: object, tools: tuple[Tool, ...] = (), choice: ToolChoice = ToolChoice.AUTO) -> Request:
    said = tuple(Text(p) if isinstance(p, str) else p for p in parts)
    return Request((Message(Role.USER, said),), tools, choice)


def answer(*parts: object, **values: object) -> Reply | ToolRequest:
    return respond(asked(*parts, **values), summarize_image, NOW_S)


def after(tool: str, content: str, question: str, *, failed: bool = False) -> Reply | ToolRequest:
    call = Message(Role.ASSISTANT, (ToolCall("c", tool, "{}"),))
    result = Message(Role.TOOL, (ToolResult("c", tool, content, failed),))
    return respond(Request((Message(Role.USER, (Text(question),)), call, result)), summarize_image, NOW_S)


def test_a_passage_that_answers_is_quoted():
    assert answer(HOURS, "When do you open?") == Reply("We open at 9 on weekdays.")


def test_a_greeting_before_a_question_does_not_hide_it():
    assert answer(HOURS, "Hello there, when do you open?") == Reply("We open at 9 on weekdays.")


@pytest.mark.parametrize("said", ["Hello", "hi there!", "Good morning.", "Hey, hello"])
def test_a_greeting_is_returned(said: str):
    assert answer(said, HOURS) == Reply("Hello. How can I help you?")


def test_an_unknown_answer_is_reported_as_unknown():
    assert answer(HOURS, "Who is the king of Norway?") == Reply(UNKNOWN)
    assert answer("Who is the king of Norway?") == Reply(UNKNOWN_ALONE)


def test_a_question_without_passages_calls_the_search_tool_if_offered():
    assert answer("When do you open?", tools=(SEARCH,)) == ToolRequest(
        "search_knowledge", {"query": "When do you open?"}
    )
    assert answer("When do you open?", tools=(SEARCH,), choice=ToolChoice.NONE) == Reply(UNKNOWN_ALONE)


def test_a_task_request_calls_the_tool_or_reports_that_it_is_missing():
    said = "Remind me to call Anna tomorrow"
    assert answer(said, tools=(TASK,)) == ToolRequest("create_task", {"title": "Call Anna", "due": "tomorrow"})
    assert answer(said) == Reply("I'm sorry, I cannot create tasks here.")
    assert answer("Create a task.", tools=(TASK,)) == Reply("What should the task say?")


def test_notes_and_profile_questions_call_their_tools():
    assert answer("Note that the door is broken", tools=(NOTE,)) == ToolRequest(
        "log_insight", {"text": "the door is broken"}
    )
    assert answer("What's my name?", tools=(PROFILE,)) == ToolRequest("get_user_profile", {})


def test_tool_results_are_confirmed():
    assert after("create_task", '{"title": "Call Anna"}', "Remind me to call Anna tomorrow") == Reply(
        "Done. I created the task Call Anna, due tomorrow."
    )
    assert after("create_task", "down", "Remind me to call Anna", failed=True) == Reply(
        "I'm sorry, I could not create the task. Please try again later."
    )
    assert after("get_user_profile", '{"display_name": "Ana", "notes": "Likes tea."}', "Who am I?") == Reply(
        "You are Ana. Likes tea."
    )
    assert after("log_insight", "{}", "Note that x") == Reply("Noted.")


def test_found_passages_answer_the_last_question():
    content = '{"passages": [{"text": "We open at 9 on weekdays."}]}'
    assert after("search_knowledge", content, "When do you open?") == Reply("We open at 9 on weekdays.")
    assert after("search_knowledge", "[]", "When do you open?") == Reply(UNKNOWN)


def test_an_image_is_described_by_size_and_brightness_only():
    said = answer("What do you see on my screen?", PICTURE)
    assert said == Reply(
        "I have one picture, but I cannot read what is on it. "
        "It is 640 by 480 pixels, taken 3 seconds ago, bright and mostly blue."
    )
    assert "I don't have a picture" in str(answer("What do you see on my screen?"))


def test_an_image_that_was_not_decoded_is_described_by_size_only():
    def blind(picture: ImagePart) -> ImageSummary:
        return ImageSummary(picture.width_px, picture.height_px, None, "")

    said = respond(asked("What do you see on my screen?", PICTURE), blind, NOW_S)
    assert isinstance(said, Reply)
    assert said.text.endswith("It is 640 by 480 pixels, taken 3 seconds ago.")


def test_it_introduces_itself():
    assert "not a language model" in str(answer("Who are you?"))


def test_it_repeats_its_last_reply():
    turns = (
        Message(Role.USER, (Text("x"),)),
        Message(Role.ASSISTANT, (Text("Nine."),)),
        Message(Role.USER, (Text("Say that again."),)),
    )
    assert respond(Request(turns), summarize_image, NOW_S) == Reply("Nine.")
    assert respond(Request(turns[2:]), summarize_image, NOW_S) == Reply("I have not said anything yet.")


def test_deltas_are_the_words_with_their_spaces():
    assert split_words("We open at 9.") == ["We", " open", " at", " 9."]

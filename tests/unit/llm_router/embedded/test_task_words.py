"""Title and due time are parsed from task requests."""

from __future__ import annotations

import pytest

from services.llm_router.embedded.task_words import TITLE_CHARACTERS_MAX, TaskIntent, mentions_task, parse_task


@pytest.mark.parametrize(
    ("said", "title", "due"),
    [
        ("Remind me to call Anna tomorrow at five.", "Call Anna", "tomorrow at five"),
        ("Please create a task to review the budget by Friday.", "Review the budget", "Friday"),
        ("add milk to my shopping list", "Milk", ""),
        ("Could you remind me tomorrow at 9 am to water the plants?", "Water the plants", "tomorrow at 9 am"),
        ("Create a task called fix the door", "Fix the door", ""),
        ("Set a reminder for the dentist next Tuesday at 3 pm", "The dentist", "next Tuesday at 3 pm"),
        ("put oat milk on the list for tomorrow", "Oat milk", "tomorrow"),
        ("add a task: send the invoice to Bob in two hours please", "Send the invoice to Bob", "in two hours"),
        ("Don't let me forget to lock the gate tonight", "Lock the gate", "tonight"),
    ],
)
def test_task_requests_are_parsed(said: str, title: str, due: str):
    assert parse_task(said) == TaskIntent(title, due)


@pytest.mark.parametrize("said", ["What tasks do I have?", "What is on my list?", "Tell me about the office.", ""])
def test_a_question_is_not_a_task_request(said: str):
    assert parse_task(said) is None
    assert not mentions_task(said)


@pytest.mark.parametrize("said", ["Create a task.", "Remind me.", "I need a reminder"])
def test_a_task_request_without_a_title_is_detected(said: str):
    assert parse_task(said) is None
    assert mentions_task(said)


def test_titles_are_bounded():
    wish = parse_task("remind me to " + "x" * 1000)
    assert wish is not None
    assert len(wish.title) == TITLE_CHARACTERS_MAX

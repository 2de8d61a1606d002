"""Whether a turn is about something that is shown."""

from __future__ import annotations

import pytest

from services.media_gateway.turns import visible
from services.media_gateway.turns.visible import HeldFrame

FRESH, USED, OLD = HeldFrame(1, used=False), HeldFrame(1, used=True), HeldFrame(60, used=False)


@pytest.mark.parametrize(
    "text",
    [
        "What do you see on my screen?",
        "can you see this",
        "look at this diagram",
        "What is that?",
        "what am I holding",
        "read this to me",
        "I'm showing you the label",
        "Which color is the box?",
        "there is an error message",
        "is the picture sharp",
        "What's this here",
    ],
)
def test_words_that_point_at_something_shown_are_about_it(text):
    assert visible.refers_to_visible(text)


@pytest.mark.parametrize(
    "text",
    [
        "When does the office open?",
        "I see.",
        "See you tomorrow",
        "let me see whether that works",
        "I look forward to it",
        "that looks like a plan",
        "remind me to call Bob",
        "this is what I wanted",
        "what is the price of this plan",
        "",
    ],
)
def test_words_that_point_at_nothing_are_not(text):
    assert not visible.refers_to_visible(text)


@pytest.mark.parametrize(
    ("text", "frame", "attach_newest", "expected"),
    [
        ("what is on my screen", None, True, False),
        ("what is on my screen", OLD, False, True),
        ("what is on my screen", USED, False, True),
        ("when do you open", FRESH, False, False),
        ("when do you open", FRESH, True, True),
        ("when do you open", USED, True, False),
        ("when do you open", OLD, True, False),
    ],
)
def test_a_picture_goes_with_a_turn_that_asks_for_it_or_where_each_new_one_is_wanted(
    text, frame, attach_newest, expected
):
    assert visible.attach(text, frame, age_s_max=10, attach_newest=attach_newest) is expected

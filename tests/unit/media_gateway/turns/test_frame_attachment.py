"""When a kept frame is attached to a turn."""

from __future__ import annotations

import pytest

from services.media_gateway.turns.frame_attachment import FrameState, attaches_frame, refers_to_visible

FRESH, USED, OLD = FrameState(1, used=False), FrameState(1, used=True), FrameState(60, used=False)


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
def test_references_to_something_visible_are_recognized(text):
    assert refers_to_visible(text)


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
def test_idioms_and_other_texts_are_no_references(text):
    assert not refers_to_visible(text)


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
def test_a_frame_is_attached_on_reference_or_if_new_frames_are_wanted(text, frame, attach_newest, expected):
    assert attaches_frame(text, frame, age_s_max=10, attach_newest=attach_newest) is expected

"""Cuts of a text while a model still writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.speaking.segmenter import SEGMENT_CHARS_MAX, SENTENCE_PAUSE_MS, Segmenter

PROSE = st.text(alphabet=st.sampled_from(list("abc IA19.,;:!?-*_`#[]()\n\t \"'é…—")), max_size=600)


def cut(text: str, *sizes: int) -> list[str]:
    """Raws of all segments of `text`, delivered in pieces of these sizes in turn."""
    segmenter, found, at, turn = Segmenter(), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)] if sizes else len(text)
        found += segmenter.write(text[at : at + size])
        at, turn = at + size, turn + 1
    return [s.raw for s in [*found, *segmenter.flush()]]


@given(PROSE, st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_the_raw_segments_joined_are_the_text(text, sizes):
    assert text == "".join(cut(text, *sizes))


@given(PROSE, st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_cuts_do_not_depend_on_how_the_text_is_delivered(text, sizes):
    assert cut(text) == cut(text, *sizes)


@given(st.text(max_size=2000))
def test_no_segment_exceeds_the_maximum_length(text):
    assert all(len(raw) <= SEGMENT_CHARS_MAX for raw in cut(text))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Sure, ", "Sure, "),
        ("Of course: ", "Of course: "),
        ("Yes. ", "Yes. "),
        ("You have three meetings tomorrow and ", "You have three meetings tomorrow "),
        ("The premium plan costs twenty dollars per month ", "The premium plan costs twenty dollars per month "),
    ],
)
def test_the_first_segment_is_cut_before_the_sentence_ends(text, first):
    assert [first] == [s.raw for s in Segmenter().write(text)]


def test_later_segments_are_whole_sentences():
    segmenter = Segmenter()
    segmenter.write("Sure, ")
    assert segmenter.write("the first one, with the team, is at nine in the big room on the left") == []
    assert [s.raw for s in segmenter.write(". ")] == [
        "the first one, with the team, is at nine in the big room on the left. "
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Ok. Dr. Smith is here. ",
        "Ok. It opens at 7.30 on most days. ",
        "Ok. It costs 3.50 for Mr. Jones. ",
        "Ok. Bring fruit, e.g. apples. ",
        "Ok. It closes at 5 p.m. on Sundays. ",
        "Ok. J. Smith wrote it... ",
    ],
)
def test_abbreviations_times_and_decimals_do_not_end_a_sentence(sentence):
    assert ["Ok. ", sentence.removeprefix("Ok. ")] == cut(sentence)


def test_an_abbreviation_before_a_capital_ends_the_sentence():
    assert cut("Ok. It closes at 5 p.m. Then we go. ") == ["Ok. ", "It closes at 5 p.m. ", "Then we go. "]


def test_a_list_item_is_one_segment_with_its_number():
    assert cut("Ok.\n1. Buy milk\n2. Call home\n") == ["Ok.\n", "1. Buy milk\n", "2. Call home\n"]


def test_a_segment_after_a_sentence_has_the_sentence_pause():
    segmenter = Segmenter()
    assert [s.pause_ms for s in segmenter.write("Yes. It does. ")] == [0, SENTENCE_PAUSE_MS]


def test_text_without_spaces_is_cut_at_the_maximum_length():
    ready = Segmenter().write("x" * 1000)
    assert [len(segment.raw) for segment in ready] == [SEGMENT_CHARS_MAX] * 2

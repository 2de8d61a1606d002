"""Chunking: spans match the text, and only white space and headings are left out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.ingest.chunking import split_into_chunks

words = st.text(st.sampled_from("abcé日🙂 .!?\n-"), max_size=300)
lines = st.lists(
    st.one_of(words, st.sampled_from(["# One", "## Two ##", "### Three", "#", "```", "~~~", "", "- item", "1. item"])),
    max_size=20,
).map("\n".join)
sizes = st.integers(min_value=8, max_value=120)


@given(lines, sizes)
def test_spans_slice_the_text_without_overlap(text, bytes_max):
    encoded, last_end = text.encode(), 0
    for chunk in split_into_chunks(text, bytes_max):
        assert encoded[chunk.start_byte : chunk.end_byte].decode() == chunk.text
        assert 0 < len(chunk.text.encode()) <= bytes_max
        assert chunk.text == chunk.text.strip()
        assert last_end <= chunk.start_byte
        last_end = chunk.end_byte


@given(words, sizes)
def test_without_headings_only_white_space_is_between_passages(text, bytes_max):
    encoded, at, rebuilt = text.encode(), 0, b""
    for chunk in split_into_chunks(text, bytes_max):
        assert not encoded[at : chunk.start_byte].strip()
        rebuilt += encoded[at : chunk.start_byte] + chunk.text.encode()
        at = chunk.end_byte
    assert not encoded[at:].strip()
    assert rebuilt + encoded[at:] == encoded


@given(lines, sizes)
def test_every_word_is_in_a_passage_or_its_headings(text, bytes_max):
    found = split_into_chunks(text, bytes_max)
    kept = "".join(c.text + "".join(c.headings) for c in found)
    assert set(re.findall(r"\w", text)) <= set(kept)


def test_passage_lists_its_headings_and_does_not_contain_them():
    text = (
        "# House\n\nFour floors.\n\n## Doors\n\nUse a badge.\n\n### Lost badges\nCall us.\n\n# Garden\nOpen at noon.\n"
    )
    assert [(c.headings, c.text) for c in split_into_chunks(text, 200)] == [
        (("House",), "Four floors."),
        (("House", "Doors"), "Use a badge."),
        (("House", "Doors", "Lost badges"), "Call us."),
        (("Garden",), "Open at noon."),
    ]


def test_heading_without_text_below_is_a_passage():
    text = "# Rooms\n## Heron\n## Wren\nSeats four.\n"
    assert [(c.headings, c.text) for c in split_into_chunks(text, 200)] == [
        (("Rooms",), "Heron"),
        (("Rooms", "Wren"), "Seats four."),
    ]


def test_number_sign_in_a_code_block_is_not_a_heading():
    text = "# Setup\n```\n# not a heading\n```\nDone.\n"
    assert [c.headings for c in split_into_chunks(text, 200)] == [("Setup",)]


def test_sentences_that_fit_are_not_split():
    text = "One two three. Four five six! Seven eight? Nine."
    assert [c.text for c in split_into_chunks(text, 30)] == ["One two three. Four five six!", "Seven eight? Nine."]


def test_passage_over_half_of_its_size_ends_with_its_paragraph():
    text = "One two three four five.\n\nSix seven."
    assert [c.text for c in split_into_chunks(text, 40)] == ["One two three four five.", "Six seven."]
    assert [c.text for c in split_into_chunks(text, 100)] == [text]


def test_long_sentence_is_split_between_words_and_a_long_word_between_characters():
    assert [c.text for c in split_into_chunks("alpha beta gamma delta", 12)] == ["alpha beta", "gamma delta"]
    assert [c.text for c in split_into_chunks("日本語日本語", 8)] == ["日本", "語日", "本語"]


def test_megabyte_without_white_space_is_split():
    found = split_into_chunks("x" * 1_000_000, 1000)
    assert len(found) == 1000


@pytest.mark.parametrize(
    "text",
    ["!" * 1_000_000, "# a" + " " * 1_000_000 + "b", "# a" + "#" * 1_000_000 + "b", ".)" * 500_000, "。" * 300_000],
)
def test_chunking_time_is_linear_in_the_text(text):
    """Inputs on which a backtracking pattern took hours; a timeout means that one backtracks again."""
    assert "".join("".join(chunk.text for chunk in split_into_chunks(text, 8000)).split()) in "".join(text.split())

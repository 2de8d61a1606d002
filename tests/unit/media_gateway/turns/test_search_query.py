"""Which transcripts are searched for, and which earlier search can serve a question."""

from __future__ import annotations

from services.media_gateway.turns import search_query


def test_two_words_are_searchable():
    assert not search_query.is_searchable("hello!")
    assert search_query.is_searchable("opening hours")


def test_four_characters_of_a_script_without_spaces_are_searchable():
    assert search_query.is_searchable("何時に開きますか")
    assert not search_query.is_searchable("はい")


def test_a_long_query_is_cut_at_its_start():
    query = search_query.truncated_query("é" * 5000 + " what are the opening hours?")
    assert len(query.encode()) <= search_query.QUERY_BYTES_MAX
    assert query.endswith("opening hours?")


def test_texts_that_share_most_words_are_the_same_question():
    assert search_query.is_same_question("when does the office", "When does the office open?")
    assert not search_query.is_same_question("when does", "How much is a parking space?")
    assert not search_query.is_same_question("", "")

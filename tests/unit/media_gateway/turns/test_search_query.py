"""What is worth a search, and which earlier search will do."""

from __future__ import annotations

from services.media_gateway.turns import search_query


def test_one_word_is_not_a_question():
    assert not search_query.is_searchable("hello!")
    assert search_query.is_searchable("opening hours")


def test_a_question_in_a_script_without_spaces_is_searched_for():
    assert search_query.is_searchable("何時に開きますか")
    assert not search_query.is_searchable("はい")


def test_a_long_query_keeps_its_end_within_the_limit():
    query = search_query.query("é" * 5000 + " what are the opening hours?")
    assert len(query.encode()) <= search_query.QUERY_BYTES_MAX
    assert query.endswith("opening hours?")


def test_an_earlier_search_serves_when_most_of_the_words_are_the_same():
    assert search_query.answers_too("when does the office", "When does the office open?")
    assert not search_query.answers_too("when does", "How much is a parking space?")
    assert not search_query.answers_too("", "")

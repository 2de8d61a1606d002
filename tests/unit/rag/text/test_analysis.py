"""Terms of texts and of spoken questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.text.analysis import QUERY_TERMS_MAX, TERM_CHARACTERS_MAX, query_terms, terms


def exact_terms(query: str) -> list[str]:
    return [term.term for term in query_terms(query) if term.weight == 1.0]


def test_spoken_question_is_reduced_to_its_significant_terms():
    assert exact_terms("Um, what time does the meeting start?") == ["time", "meet", "start"]
    assert exact_terms("hello, can you tell me where I can park my car please") == ["park", "car"]


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("wi fi", "Wi-Fi"),
        ("wifi", "wi-fi"),
        ("wi fi", "wifi"),
        ("nine thirty", "9:30"),
        ("twenty five", "25"),
        ("the café's doors", "Cafe door"),
        ("don\u2019t park", "parking"),
        ("receipts", "receipt"),
        ("companies", "company"),
    ],
)
def test_spoken_forms_match_written_forms(spoken, written):
    assert {term.term for term in query_terms(spoken)} & set(terms(written))


def test_fillers_are_searched_for_without_other_words():
    assert exact_terms("please thanks") == ["pleas", "thank"]
    assert exact_terms("please the rules") == ["rule"]


def test_stop_words_alone_give_no_terms():
    assert query_terms("what is it") == []


def test_tens_at_the_end_and_before_tens_are_numbers():
    assert terms("thirty") == ["30"]
    assert terms("twenty thirty seven") == ["20", "37"]
    assert terms("twenty eleven twenty one o twenty") == ["20", "11", "21", "o", "20"]


def test_scripts_without_spaces_are_indexed_by_character_pairs():
    assert terms("会議室") == ["会議", "議室"]
    assert set(terms("会議")) <= set(terms("大会議室"))


@given(st.text(max_size=500))
def test_terms_are_bounded_and_without_nul_or_space(text):
    for term in terms(text):
        assert 0 < len(term) <= TERM_CHARACTERS_MAX
        assert not any(character.isspace() or character == "\0" for character in term)


@given(st.text(max_size=2000))
def test_query_terms_are_distinct_and_bounded(text):
    found = query_terms(text)
    assert len({term.term for term in found}) == len(found) <= QUERY_TERMS_MAX
    assert all(0 < term.weight <= 1 for term in found)

"""The answering sentence is found by the words that it shares with the question."""

from __future__ import annotations

import pytest

from services.llm_router.chat.request import Passage
from services.llm_router.embedded.extraction import SENTENCE_WORDS_MAX, extract, sentences_of

HOURS = Passage(
    "1", "Opening hours", "We open at 9 on weekdays. On Sundays we are closed. The café serves breakfast until 11."
)
PEOPLE = Passage("2", "Team", "The office is led by Maria Keller. Her deputy is Tom Brandt. The team has 14 members.")
PRICES = Passage("3", "Parking", "- Parking costs 4 euros an hour\n- Visitors park on level B2")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When do you open?", "We open at 9 on weekdays."),
        ("Are you closed on Sunday?", "On Sundays we are closed."),
        ("Who leads the office?", "The office is led by Maria Keller."),
        ("How many members are in the team?", "The team has 14 members."),
        ("What does parking cost?", "Parking costs 4 euros an hour."),
        ("Where do visitors park?", "Visitors park on level B2."),
    ],
)
def test_the_sentence_with_the_answer_comes_first(question: str, answer: str):
    found = extract(question, [HOURS, PEOPLE, PRICES])
    assert found is not None
    assert found.sentences[0] == answer


@pytest.mark.parametrize("question", ["Who won the chess championship?", "", "the of and", "🙂"])
def test_passages_without_an_answer_give_none(question: str):
    assert extract(question, [HOURS, PEOPLE, PRICES]) is None


def test_no_passages_give_no_answer():
    assert extract("When do you open?", []) is None


def test_extracted_sentences_are_short_enough_for_speech():
    found = extract("What about the warranty?", [Passage("", "", "The warranty " + "covers it and " * 100 + "ends.")])
    assert found is not None
    assert len(found.sentences[0].split()) <= SENTENCE_WORDS_MAX + 1


def test_sentences_end_at_points_and_lines():
    assert sentences_of("One. Two! Three\n\nFour? yes") == ["One.", "Two!", "Three", "Four? yes"]

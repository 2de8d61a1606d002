"""Which calls served which turn."""

from __future__ import annotations

import itertools

import pytest

from services.media_gateway.turns import turn_log


@pytest.fixture
def book() -> turn_log.TurnBook:
    numbers = itertools.count(1)
    return turn_log.TurnBook(lambda: f"turn-{next(numbers)}")


def test_an_answer_begun_early_counts_when_its_message_is_the_one_committed(book):
    _, dropped = book.begin_call("guess-1")
    dropped.model, dropped.cost_micro_usd = "wrong", 5
    turn, kept = book.begin_call("guess-2")
    kept.model, kept.cost_micro_usd = "right", 7
    book.confirm()
    book.commit("guess-2", "when do you open")
    book.answer("At nine.", interrupted=False)
    told = turn_log.facts(book.close(), {"seen": 3})
    assert turn.turn_id == told["turn_id"] == "turn-1"
    assert (told["model"], told["heard"], told["answered"]) == ("right", "when do you open", "At nine.")
    assert (told["calls_discarded"], told["model_calls"], told["speculative"]) == (1, 2, True)
    assert told["cost_micro_usd"] == 12
    assert told["frames"] == {"seen": 3}


def test_a_call_after_the_person_has_finished_is_meant(book):
    book.confirm()
    _, call = book.begin_call("m")
    assert not call.speculative


def test_a_call_with_a_tools_result_belongs_to_the_turn_of_its_question(book):
    first, _ = book.begin_call("m")
    book.commit("m", "remind me")
    second, call = book.begin_call("m")
    other, _ = book.begin_call("next guess")
    assert first is second
    assert not call.speculative
    assert other is not first


def test_a_turn_that_was_never_closed_is_given_back_as_interrupted(book):
    book.commit("a", "first")
    unclosed = book.commit("b", "second")
    assert (unclosed.heard, unclosed.interrupted) == ("first", True)
    assert book.close().heard == "second"
    assert book.close() is None


def test_parts_of_an_answer_are_joined_and_trouble_is_noted_where_it_struck(book):
    book.degrade("speech")
    book.speech_cost(3)
    book.commit("a", "first")
    book.answer("One moment.", interrupted=False)
    book.answer("Done.", interrupted=True)
    book.degrade("backend")
    book.degrade("rag", "another message")
    told = turn_log.facts(book.close(), {})
    assert told["answered"] == "One moment. Done."
    assert told["interrupted"]
    assert told["degraded"] == ["backend", "speech"]
    assert told["cost_micro_usd"] == 3


def test_a_turn_without_any_call_can_be_told(book):
    book.commit("a", "x" * 10_000)
    told = turn_log.facts(book.close(), {})
    assert (told["tier"], told["score"], told["passages"], told["images"]) == ("", 0.0, [], 0)
    assert len(told["heard"]) == 4000

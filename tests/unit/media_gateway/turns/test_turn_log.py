"""Turns, their model calls, and the summary of a turn."""

from __future__ import annotations

import itertools

import pytest

from services.media_gateway.turns.turn_log import TurnLog, turn_summary


@pytest.fixture
def log() -> TurnLog:
    numbers = itertools.count(1)
    return TurnLog(lambda: f"turn-{next(numbers)}")


def test_the_committed_message_selects_the_preemptive_call(log):
    _, dropped = log.begin_model_call("guess-1")
    dropped.model, dropped.cost_micro_usd = "wrong", 5
    turn, kept = log.begin_model_call("guess-2")
    kept.model, kept.cost_micro_usd = "right", 7
    log.mark_input_complete()
    log.commit_turn("guess-2", "when do you open")
    log.record_answer("At nine.", interrupted=False)
    summary = turn_summary(log.close_turn(), {"seen": 3})
    assert turn.turn_id == summary["turn_id"] == "turn-1"
    assert (summary["model"], summary["heard"], summary["answered"]) == ("right", "when do you open", "At nine.")
    assert (summary["calls_discarded"], summary["model_calls"], summary["speculative"]) == (1, 2, True)
    assert summary["cost_micro_usd"] == 12
    assert summary["frames"] == {"seen": 3}


def test_a_call_after_complete_input_is_not_speculative(log):
    log.mark_input_complete()
    _, call = log.begin_model_call("m")
    assert not call.speculative


def test_a_call_after_a_tool_result_belongs_to_the_turn_of_its_message(log):
    first, _ = log.begin_model_call("m")
    log.commit_turn("m", "remind me")
    second, call = log.begin_model_call("m")
    other, _ = log.begin_model_call("next guess")
    assert first is second
    assert not call.speculative
    assert other is not first


def test_an_unclosed_turn_is_returned_as_interrupted(log):
    log.commit_turn("a", "first")
    unclosed = log.commit_turn("b", "second")
    assert (unclosed.user_text, unclosed.interrupted) == ("first", True)
    assert log.close_turn().user_text == "second"
    assert log.close_turn() is None


def test_answers_are_joined_and_failures_belong_to_their_turn(log):
    log.record_degraded("speech")
    log.record_speech_cost(3)
    log.commit_turn("a", "first")
    log.record_answer("One moment.", interrupted=False)
    log.record_answer("Done.", interrupted=True)
    log.record_degraded("backend")
    log.record_degraded("rag", "another message")
    summary = turn_summary(log.close_turn(), {})
    assert summary["answered"] == "One moment. Done."
    assert summary["interrupted"]
    assert summary["degraded"] == ["backend", "speech"]
    assert summary["cost_micro_usd"] == 3


def test_a_turn_without_model_calls_has_a_summary(log):
    log.commit_turn("a", "x" * 10_000)
    summary = turn_summary(log.close_turn(), {})
    assert (summary["tier"], summary["score"], summary["passages"], summary["images"]) == ("", 0.0, [], 0)
    assert len(summary["heard"]) == 4000

"""Silences before a preflight, and its confirmation."""

from __future__ import annotations

from services.speech.listening.preflight import Preflight, PreflightRules

PHRASE = "where is my invoice"


def preflights() -> Preflight:
    return Preflight(PreflightRules(), frozenset({PHRASE}))


def test_an_expected_phrase_is_sent_after_20_ms_of_silence():
    preflight = preflights()
    assert [preflight.should_send(PHRASE, silence_ms, 900) for silence_ms in (0, 10, 20)] == [False, False, True]


def test_a_prefix_of_another_expected_phrase_waits_100_ms():
    preflight = Preflight(PreflightRules(), frozenset({"what is the price", "what is the price of tea"}))
    assert [preflight.should_send("what is the price", silence_ms, 900) for silence_ms in (40, 100)] == [False, True]


def test_an_unexpected_text_waits_100_ms():
    preflight = preflights()
    assert [preflight.should_send("where is it", silence_ms, 900) for silence_ms in (90, 100)] == [False, True]


def test_a_text_is_sent_once_and_an_empty_one_never():
    preflight = preflights()
    assert preflight.should_send(PHRASE, 40, 900)
    assert not preflight.should_send(PHRASE, 60, 900)
    assert not preflight.should_send("", 500, 900)


def test_an_utterance_has_at_most_three_preflights():
    preflight = preflights()
    assert [preflight.should_send(f"text {n}", 200, 900 + n) for n in range(4)] == [True] * 3 + [False]


def test_an_expected_phrase_is_confirmed_unless_speech_follows():
    preflight = preflights()
    preflight.should_send(PHRASE, 30, 900)
    assert (preflight.confirmed_text(900), preflight.confirmed_text(1400)) == (PHRASE, None)


def test_an_unexpected_text_is_not_confirmed():
    preflight = preflights()
    preflight.should_send("where is it", 100, 900)
    assert preflight.confirmed_text(900) is None

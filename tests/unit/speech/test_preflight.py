"""When a guess is worth a language model call."""

from __future__ import annotations

from services.speech.preflight import Preflight, PreflightRules

PHRASE = "where is my invoice"


def guesses() -> Preflight:
    return Preflight(PreflightRules(), frozenset({PHRASE}))


def test_an_expected_phrase_is_sent_within_50_ms_of_silence():
    preflight = guesses()
    assert [preflight.is_credible(PHRASE, silence_ms, 900) for silence_ms in (0, 10, 20)] == [False, False, True]


def test_a_phrase_that_a_longer_one_begins_with_waits():
    preflight = Preflight(PreflightRules(), frozenset({"what is the price", "what is the price of tea"}))
    assert [preflight.is_credible("what is the price", silence_ms, 900) for silence_ms in (40, 100)] == [False, True]


def test_another_text_waits_for_a_pause_that_is_none_within_a_word():
    preflight = guesses()
    assert [preflight.is_credible("where is it", silence_ms, 900) for silence_ms in (90, 100)] == [False, True]


def test_the_same_text_is_sent_once_and_nothing_is_not_sent():
    preflight = guesses()
    assert preflight.is_credible(PHRASE, 40, 900)
    assert not preflight.is_credible(PHRASE, 60, 900)
    assert not preflight.is_credible("", 500, 900)


def test_an_utterance_costs_a_bounded_number_of_guesses():
    preflight = guesses()
    assert [preflight.is_credible(f"text {n}", 200, 900 + n) for n in range(4)] == [True] * 3 + [False]


def test_a_whole_phrase_stands_unless_more_was_said():
    preflight = guesses()
    preflight.is_credible(PHRASE, 30, 900)
    assert (preflight.stands(900), preflight.stands(1400)) == (PHRASE, None)


def test_a_guess_at_unexpected_words_does_not_stand():
    preflight = guesses()
    preflight.is_credible("where is it", 100, 900)
    assert preflight.stands(900) is None

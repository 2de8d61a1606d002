"""The emulated recogniser counts silence in audio and gives each event once."""

from __future__ import annotations

from bench.voice.__main__ import quantile, table
from bench.voice.delays import Delays
from bench.voice.ear import Ear, Event

FRAME_US = 20_000
DELAYS = Delays(preflight_s=0.04, final_s=0.15, interim_s=0.1)


def heard(ear: Ear, pattern: str) -> list[tuple[Event, int]]:
    """Events with the index of the frame that caused them; "#" is a loud frame."""
    return [(e, i) for i, mark in enumerate(pattern) for e in ear.hear(FRAME_US, loud=mark == "#")]


def test_an_utterance_starts_is_guessed_and_ends():
    events = heard(Ear(DELAYS), "..####" + "." * 12)
    assert events == [(Event.STARTED, 2), (Event.PREFLIGHT, 7), (Event.FINAL, 13)]


def test_a_short_pause_is_guessed_at_but_does_not_end_the_turn():
    kinds = [e for e, _ in heard(Ear(DELAYS), "###...###" + "." * 12)]
    assert kinds == [Event.STARTED, Event.PREFLIGHT, Event.INTERIM, Event.PREFLIGHT, Event.FINAL]


def test_silence_says_nothing():
    assert heard(Ear(DELAYS), "." * 50) == []


def test_the_time_heard_starts_anew_with_each_utterance():
    ear = Ear(DELAYS)
    heard(ear, "#####" + "." * 12 + "##")
    assert ear.loud_us == 2 * FRAME_US


def test_a_quantile_is_a_value_that_was_measured():
    values = [float(n) for n in range(1, 21)]
    assert (quantile(values, 0.5), quantile(values, 0.95), quantile(values, 1)) == (10, 19, 20)
    assert quantile([7.0], 0.95) == 7


def test_a_profile_without_any_answer_is_said_to_have_none():
    assert "safe: no turn was answered" in table({"safe": {}})

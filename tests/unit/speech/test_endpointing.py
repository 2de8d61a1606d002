"""When somebody speaks and has finished, from synthetic loudness; time is audio alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.endpointing import Endpointer, EndpointingRules, Mark

SPEECH, QUIET = -20.0, -60.0
RULES = EndpointingRules()


def play(endpointer: Endpointer, *parts: tuple[float, int]) -> list[tuple[Mark, int]]:
    """Marks with their audio position, for parts of (loudness, milliseconds)."""
    found = []
    for level, length_ms in parts:
        for _ in range(length_ms // 10):
            mark = endpointer.hear(level)
            if mark is not Mark.NONE:
                found.append((mark, endpointer.position_ms))
    return found


def test_one_utterance_starts_ends_and_ends_its_turn():
    endpointer = Endpointer(RULES)
    marks = play(endpointer, (QUIET, 500), (SPEECH, 1000), (QUIET, 1000))
    assert marks == [(Mark.ONSET, 530), (Mark.UTTERANCE_END, 1700), (Mark.TURN_END, 1800)]
    assert (endpointer.onset_ms, endpointer.speech_end_ms) == (500, 1500)


def test_a_comma_ends_the_utterance_and_not_the_turn():
    marks = play(Endpointer(RULES), (QUIET, 500), (SPEECH, 500), (QUIET, 250), (SPEECH, 500), (QUIET, 1000))
    assert [m for m, _ in marks] == [Mark.ONSET, Mark.UTTERANCE_END, Mark.ONSET, Mark.UTTERANCE_END, Mark.TURN_END]


def test_a_pause_within_a_word_ends_nothing():
    marks = play(Endpointer(RULES), (QUIET, 500), (SPEECH, 500), (QUIET, 120), (SPEECH, 500))
    assert [m for m, _ in marks] == [Mark.ONSET]


def test_a_click_is_no_speech():
    assert play(Endpointer(RULES), (QUIET, 500), (SPEECH, 20), (QUIET, 500)) == []


@pytest.mark.parametrize("noise_dbfs", [-90.0, -70.0, -55.0, -45.0, -38.0])
def test_the_threshold_follows_the_noise(noise_dbfs):
    marks = play(Endpointer(RULES), (noise_dbfs, 6000), (SPEECH, 1000), (noise_dbfs, 1000))
    kinds = [m for m, at in marks if at > 6000]
    assert kinds == [Mark.ONSET, Mark.UTTERANCE_END, Mark.TURN_END]


def test_noise_that_begins_in_the_middle_is_speech_for_some_seconds_only():
    endpointer = Endpointer(RULES)
    play(endpointer, (QUIET, 1000), (-42.0, 6000))
    assert not endpointer.in_turn
    assert [m for m, _ in play(endpointer, (SPEECH, 500))] == [Mark.ONSET]


def test_a_stream_may_begin_in_the_middle_of_a_word():
    assert play(Endpointer(RULES), (SPEECH, 500)) == [(Mark.ONSET, 30)]


def test_a_fading_room_does_not_prolong_the_speech():
    endpointer = Endpointer(RULES)
    play(endpointer, (QUIET, 500), (SPEECH, 1000), (SPEECH - 40, 150))
    assert endpointer.silence_ms == 150


def test_an_utterance_has_a_longest_length():
    marks = play(Endpointer(EndpointingRules(utterance_ms_max=2000)), (QUIET, 500), (SPEECH, 3000))
    assert (Mark.UTTERANCE_END, 2500) in marks


def test_a_shorter_turn_silence_takes_the_utterance_with_it():
    endpointer = Endpointer(RULES.ending_at(150))
    marks = play(endpointer, (QUIET, 500), (SPEECH, 500), (QUIET, 150))
    assert marks[-1] == (Mark.UTTERANCE_END, 1150)
    assert endpointer.turn_over


@given(st.lists(st.tuples(st.sampled_from([-90.0, -60.0, -40.0, -20.0, -3.0]), st.integers(1, 60)), max_size=60))
def test_marks_come_in_order_whatever_is_heard(parts):
    order = [m for m, _ in play(Endpointer(RULES), *((level, count * 10) for level, count in parts))]
    allowed = {
        None: {Mark.ONSET},
        Mark.ONSET: {Mark.UTTERANCE_END},
        Mark.UTTERANCE_END: {Mark.ONSET, Mark.TURN_END},
        Mark.TURN_END: {Mark.ONSET},
    }
    for before, after in zip([None, *order], order, strict=False):
        assert after in allowed[before]

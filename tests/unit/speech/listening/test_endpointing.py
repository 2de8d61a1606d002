"""Endpointing on synthetic levels; time is audio alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.listening.endpointing import Endpointer, EndpointingRules
from services.speech.listening.endpointing import EndpointEvent as Event

SPEECH, QUIET = -20.0, -60.0
RULES = EndpointingRules()


def play(endpointer: Endpointer, *parts: tuple[float, int]) -> list[tuple[Event, int]]:
    """Marks with their audio position, for parts of (loudness, milliseconds)."""
    found: list[tuple[Event, int]] = []
    for level, length_ms in parts:
        for _ in range(length_ms // 10):
            event = endpointer.push_frame(level)
            if event is not Event.NONE:
                found.append((event, endpointer.position_ms))
    return found


def test_one_utterance_gives_onset_utterance_end_and_turn_end():
    endpointer = Endpointer(RULES)
    events = play(endpointer, (QUIET, 500), (SPEECH, 1000), (QUIET, 1000))
    assert events == [(Event.ONSET, 530), (Event.UTTERANCE_END, 1700), (Event.TURN_END, 1800)]
    assert (endpointer.onset_ms, endpointer.speech_end_ms) == (500, 1500)


def test_a_pause_shorter_than_turn_silence_ends_the_utterance_only():
    events = play(Endpointer(RULES), (QUIET, 500), (SPEECH, 500), (QUIET, 250), (SPEECH, 500), (QUIET, 1000))
    assert [m for m, _ in events] == [
        Event.ONSET,
        Event.UTTERANCE_END,
        Event.ONSET,
        Event.UTTERANCE_END,
        Event.TURN_END,
    ]


def test_a_pause_shorter_than_utterance_silence_ends_nothing():
    events = play(Endpointer(RULES), (QUIET, 500), (SPEECH, 500), (QUIET, 120), (SPEECH, 500))
    assert [m for m, _ in events] == [Event.ONSET]


def test_a_sound_shorter_than_onset_ms_is_no_onset():
    assert play(Endpointer(RULES), (QUIET, 500), (SPEECH, 20), (QUIET, 500)) == []


@pytest.mark.parametrize("noise_dbfs", [-90.0, -70.0, -55.0, -45.0, -38.0])
def test_onset_and_offset_are_found_above_noise(noise_dbfs):
    events = play(Endpointer(RULES), (noise_dbfs, 6000), (SPEECH, 1000), (noise_dbfs, 1000))
    kinds = [m for m, at in events if at > 6000]
    assert kinds == [Event.ONSET, Event.UTTERANCE_END, Event.TURN_END]


def test_noise_that_starts_in_mid_stream_stops_counting_as_speech_within_six_seconds():
    endpointer = Endpointer(RULES)
    play(endpointer, (QUIET, 1000), (-42.0, 6000))
    assert not endpointer.in_turn
    assert [m for m, _ in play(endpointer, (SPEECH, 500))] == [Event.ONSET]


def test_speech_in_the_first_frame_is_an_onset():
    assert play(Endpointer(RULES), (SPEECH, 500)) == [(Event.ONSET, 30)]


def test_reverberation_does_not_prolong_the_speech():
    endpointer = Endpointer(RULES)
    play(endpointer, (QUIET, 500), (SPEECH, 1000), (SPEECH - 40, 150))
    assert endpointer.silence_ms == 150


def test_an_utterance_ends_at_its_maximum_length():
    events = play(Endpointer(EndpointingRules(utterance_ms_max=2000)), (QUIET, 500), (SPEECH, 3000))
    assert (Event.UTTERANCE_END, 2500) in events


def test_a_shorter_turn_silence_shortens_the_utterance_silence():
    endpointer = Endpointer(RULES.with_turn_silence(150))
    events = play(endpointer, (QUIET, 500), (SPEECH, 500), (QUIET, 150))
    assert events[-1] == (Event.UTTERANCE_END, 1150)
    assert endpointer.turn_is_over


@given(st.lists(st.tuples(st.sampled_from([-90.0, -60.0, -40.0, -20.0, -3.0]), st.integers(1, 60)), max_size=60))
def test_events_follow_the_state_machine_for_any_audio(parts):
    order = [m for m, _ in play(Endpointer(RULES), *((level, count * 10) for level, count in parts))]
    allowed = {
        None: {Event.ONSET},
        Event.ONSET: {Event.UTTERANCE_END},
        Event.UTTERANCE_END: {Event.ONSET, Event.TURN_END},
        Event.TURN_END: {Event.ONSET},
    }
    for before, after in zip([None, *order], order, strict=False):
        assert after in allowed[before]

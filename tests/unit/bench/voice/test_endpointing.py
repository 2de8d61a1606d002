"""Events of the emulated recogniser."""

from __future__ import annotations

from bench.voice.delays import Delays
from bench.voice.endpointing import EmulatedEndpointer, Event

FRAME_US = 20_000
DELAYS = Delays(preflight_s=0.04, final_s=0.15, interim_s=0.1)


def events_of(endpointer: EmulatedEndpointer, pattern: str) -> list[tuple[Event, int]]:
    """Events with the index of the frame that caused them; "#" is a loud frame."""
    return [(e, i) for i, mark in enumerate(pattern) for e in endpointer.push(FRAME_US, loud=mark == "#")]


def test_an_utterance_gives_started_preflight_and_final():
    events = events_of(EmulatedEndpointer(DELAYS), "..####" + "." * 12)
    assert events == [(Event.STARTED, 2), (Event.PREFLIGHT, 7), (Event.FINAL, 13)]


def test_a_short_pause_gives_a_preflight_and_no_final():
    kinds = [e for e, _ in events_of(EmulatedEndpointer(DELAYS), "###...###" + "." * 12)]
    assert kinds == [Event.STARTED, Event.PREFLIGHT, Event.INTERIM, Event.PREFLIGHT, Event.FINAL]


def test_silence_gives_no_event():
    assert events_of(EmulatedEndpointer(DELAYS), "." * 50) == []


def test_loud_audio_is_counted_per_utterance():
    endpointer = EmulatedEndpointer(DELAYS)
    events_of(endpointer, "#####" + "." * 12 + "##")
    assert endpointer.loud_us == 2 * FRAME_US

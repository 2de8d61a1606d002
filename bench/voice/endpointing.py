"""Endpointing of the emulated recogniser: its events from the loudness of the audio, with set delays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bench.voice.delays import Delays


class Event(Enum):
    """Event of the emulated recogniser."""

    STARTED = "started"
    INTERIM = "interim"
    PREFLIGHT = "preflight"
    FINAL = "final"


@dataclass(slots=True)
class EmulatedEndpointer:
    """State of one stream. It recognises no words; like a vendor's endpointing it separates speech from silence.

    Silence is counted in audio, not on the clock: a stalled delivery must not look like the end of a turn.
    """

    delays: Delays
    speaking: bool = False
    audio_us: int = 0
    loud_us: int = 0
    _last_loud_us: int = 0
    _last_interim_us: int = 0
    _preflight_sent: bool = False

    def push(self, duration_us: int, *, loud: bool) -> list[Event]:
        """Advance by `duration_us` microseconds of audio; return the events that they cause."""
        self.audio_us += duration_us
        if loud:
            return self._push_loud(duration_us)
        if not self.speaking:
            return []
        silent_us = self.audio_us - self._last_loud_us
        events: list[Event] = []
        if silent_us >= self.delays.preflight_s * 1e6 and not self._preflight_sent:
            self._preflight_sent = True
            events.append(Event.PREFLIGHT)
        if silent_us >= self.delays.final_s * 1e6:
            self.speaking = False
            events.append(Event.FINAL)
        return events

    def _push_loud(self, duration_us: int) -> list[Event]:
        self._last_loud_us = self.audio_us
        self._preflight_sent = False
        if not self.speaking:
            self.speaking, self.loud_us, self._last_interim_us = True, duration_us, self.audio_us
            return [Event.STARTED]
        self.loud_us += duration_us
        if self.audio_us - self._last_interim_us >= self.delays.interim_s * 1e6:
            self._last_interim_us = self.audio_us
            return [Event.INTERIM]
        return []

"""Decides what an emulated recogniser reports, from the loudness of the audio and the time at which it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bench.voice.delays import Delays


class Event(Enum):
    """What the recogniser says."""

    STARTED = "started"
    INTERIM = "interim"
    PREFLIGHT = "preflight"
    FINAL = "final"


@dataclass(slots=True)
class Ear:
    """State of one stream. It recognises nothing: it knows when somebody speaks, as a vendor's endpointing does.

    Silence is counted in audio, not on the wall: a delivery that stalls must not look like the end of a turn.
    """

    delays: Delays
    speaking: bool = False
    audio_us: int = 0
    loud_us: int = 0
    _last_loud_us: int = 0
    _last_interim_us: int = 0
    _guessed: bool = False

    def hear(self, duration_us: int, *, loud: bool) -> list[Event]:
        """The events that `duration_us` microseconds more of audio, loud or not, cause."""
        self.audio_us += duration_us
        if loud:
            return self._loud(duration_us)
        if not self.speaking:
            return []
        silent_us = self.audio_us - self._last_loud_us
        events: list[Event] = []
        if silent_us >= self.delays.preflight_s * 1e6 and not self._guessed:
            self._guessed = True
            events.append(Event.PREFLIGHT)
        if silent_us >= self.delays.final_s * 1e6:
            self.speaking = False
            events.append(Event.FINAL)
        return events

    def _loud(self, duration_us: int) -> list[Event]:
        self._last_loud_us = self.audio_us
        self._guessed = False
        if not self.speaking:
            self.speaking, self.loud_us, self._last_interim_us = True, duration_us, self.audio_us
            return [Event.STARTED]
        self.loud_us += duration_us
        if self.audio_us - self._last_interim_us >= self.delays.interim_s * 1e6:
            self._last_interim_us = self.audio_us
            return [Event.INTERIM]
        return []

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

    Silence is counted in audio, not on the wall: a delivery that stalls must not look like the end of a turn. Only the
    vendor's own delay after that is counted on the clock of arrival.
    """

    delays: Delays
    speaking: bool = False
    audio_s: float = 0.0
    loud_s: float = 0.0
    _last_loud_s: float = 0.0
    _last_interim_s: float = 0.0
    _guessed: bool = False

    def hear(self, seconds: float, *, loud: bool) -> list[Event]:
        """The events that `seconds` more of audio, loud or not, cause."""
        self.audio_s += seconds
        if loud:
            self.loud_s += seconds
            return self._loud()
        if not self.speaking:
            return []
        silent_s = self.audio_s - self._last_loud_s
        events: list[Event] = []
        if silent_s >= self.delays.preflight_s and not self._guessed:
            self._guessed = True
            events.append(Event.PREFLIGHT)
        if silent_s >= self.delays.final_s:
            self.speaking = False
            events.append(Event.FINAL)
        return events

    def _loud(self) -> list[Event]:
        self._last_loud_s = self.audio_s
        self._guessed = False
        if not self.speaking:
            self.speaking = True
            self.loud_s = 0.0
            self._last_interim_s = self.audio_s
            return [Event.STARTED]
        if self.audio_s - self._last_interim_s >= self.delays.interim_s:
            self._last_interim_s = self.audio_s
            return [Event.INTERIM]
        return []

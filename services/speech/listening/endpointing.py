"""Decides when speech starts, when an utterance ends and when a turn ends, from the loudness of 10 ms frames.

Time is counted in audio, never on a clock: a stalled delivery is not silence. Thresholds follow two levels: the noise
floor, which falls at once and rises slowly, and the peak of the current speaker, so that the reverberation of a room
does not prolong the speech.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

FRAME_MS = 10
# Between digital silence and a noisy street. A floor outside of this range is speech or a muted microphone.
FLOOR_DBFS_MIN = -65.0
FLOOR_DBFS_MAX = -30.0
_FLOOR_RISE_DB = 0.05  # per frame: 5 dB per second outside of utterances
_FLOOR_RISE_SPEAKING_DB = 0.005
# A level without a quieter frame for two seconds is noise: speakers breathe within that time.
_BLOCK_FRAMES = 50
_BLOCKS = 4
_NOISE_SPREAD_DB = 3.0
# A stream may begin in the middle of a word: its first frame is a weak estimate of the noise.
_FIRST_FLOOR_DBFS_MAX = -40.0
_ONSET_DB = 12.0
_OFFSET_DB = 7.0
_PEAK_DROP_DB = 32.0  # unvoiced consonants lie 20 to 30 dB below the vowel beside them
_PEAK_FALL_DB = 0.1


class EndpointEvent(Enum):
    """What a frame changed."""

    NONE = "none"
    ONSET = "onset"
    UTTERANCE_END = "utterance_end"
    TURN_END = "turn_end"


@dataclass(frozen=True, slots=True)
class EndpointingRules:
    """Durations in milliseconds of audio.

    Attributes:
        onset_ms: Loud audio within `onset_window_ms` that starts an utterance; shorter sounds are clicks.
        onset_window_ms: Window in which the onset is counted.
        utterance_silence_ms: Silence that ends an utterance; at most `turn_silence_ms`.
        turn_silence_ms: Silence that ends a turn.
        utterance_ms_max: Longest utterance; it ends here without silence too.
    """

    onset_ms: int = 30
    onset_window_ms: int = 50
    utterance_silence_ms: int = 200
    turn_silence_ms: int = 300
    utterance_ms_max: int = 30_000

    def with_turn_silence(self, turn_silence_ms: int) -> EndpointingRules:
        """Return these rules with another turn silence; the utterance's silence becomes at most as long."""
        return EndpointingRules(
            onset_ms=self.onset_ms,
            onset_window_ms=self.onset_window_ms,
            utterance_silence_ms=min(self.utterance_silence_ms, turn_silence_ms),
            turn_silence_ms=turn_silence_ms,
            utterance_ms_max=self.utterance_ms_max,
        )


@dataclass(slots=True)
class Endpointer:
    """State machine of one stream, fed frame by frame.

    Silence -> ONSET -> utterance -> UTTERANCE_END -> pause -> ONSET (the turn goes on) or TURN_END -> silence.
    A frame returns one event: where it ends both the utterance and the turn, UTTERANCE_END, with `turn_is_over` True.
    """

    rules: EndpointingRules
    position_ms: int = 0
    floor_dbfs: float | None = None
    in_utterance: bool = False
    in_turn: bool = False
    speech_end_ms: int = 0
    _peak_dbfs: float = -90.0
    _onset_ms: int = 0
    _recent: deque[bool] = field(default_factory=deque[bool])
    _block_min_dbfs: float = 0.0
    _quietest: deque[float] = field(default_factory=lambda: deque[float](maxlen=_BLOCKS))

    @property
    def silence_ms(self) -> int:
        """Audio since the last speech, in milliseconds."""
        return self.position_ms - self.speech_end_ms

    @property
    def onset_ms(self) -> int:
        """Position of the current or last utterance's start, in milliseconds."""
        return self._onset_ms

    @property
    def turn_is_over(self) -> bool:
        """True while a turn is open, no utterance is, and the silence has reached `turn_silence_ms`."""
        return self.in_turn and not self.in_utterance and self.silence_ms >= self.rules.turn_silence_ms

    def push_frame(self, level_dbfs: float) -> EndpointEvent:
        """Advance by one frame.

        Args:
            level_dbfs: RMS of the frame in dB below full scale; -90 for digital silence.
        """
        self.position_ms += FRAME_MS
        floor_dbfs = self._first_floor(level_dbfs) if self.floor_dbfs is None else self.floor_dbfs
        speaking = self._is_speech(level_dbfs, floor_dbfs)
        self._update_levels(level_dbfs, floor_dbfs)
        if not self.in_utterance:
            return self._outside_utterance(speaking=speaking)
        if speaking:
            self.speech_end_ms = self.position_ms
        too_long = self.position_ms - self._onset_ms >= self.rules.utterance_ms_max
        if too_long or self.silence_ms >= self.rules.utterance_silence_ms:
            self.in_utterance = False
            return EndpointEvent.UTTERANCE_END
        return EndpointEvent.NONE

    def end_turn(self) -> None:
        """Close utterance and turn at this position, for instance on a flush."""
        self.in_utterance = self.in_turn = False
        self._recent.clear()

    @staticmethod
    def _first_floor(level_dbfs: float) -> float:
        return min(max(level_dbfs, FLOOR_DBFS_MIN), _FIRST_FLOOR_DBFS_MAX)

    def _is_speech(self, level_dbfs: float, floor_dbfs: float) -> bool:
        if not self.in_utterance:
            return level_dbfs > floor_dbfs + _ONSET_DB
        return level_dbfs > max(floor_dbfs + _OFFSET_DB, self._peak_dbfs - _PEAK_DROP_DB)

    def _outside_utterance(self, *, speaking: bool) -> EndpointEvent:
        self._recent.append(speaking)
        if len(self._recent) * FRAME_MS > self.rules.onset_window_ms:
            self._recent.popleft()
        if sum(self._recent) * FRAME_MS >= self.rules.onset_ms:
            self._onset_ms = self.position_ms - FRAME_MS * (len(self._recent) - self._recent.index(True))
            self._recent.clear()
            self.in_utterance = self.in_turn = True
            self.speech_end_ms = self.position_ms
            return EndpointEvent.ONSET
        if self.turn_is_over:
            self.end_turn()
            return EndpointEvent.TURN_END
        return EndpointEvent.NONE

    def _update_levels(self, level_dbfs: float, floor_dbfs: float) -> None:
        rise = _FLOOR_RISE_SPEAKING_DB if self.in_utterance else _FLOOR_RISE_DB
        if level_dbfs < floor_dbfs:
            floor_dbfs += 0.3 * (level_dbfs - floor_dbfs)
        else:
            floor_dbfs += min(rise, level_dbfs - floor_dbfs)
        floor_dbfs = max(floor_dbfs, self._lasting_noise(level_dbfs))
        self.floor_dbfs = min(max(floor_dbfs, FLOOR_DBFS_MIN), FLOOR_DBFS_MAX)
        fallen = self._peak_dbfs - _PEAK_FALL_DB if self.in_utterance else -90.0
        self._peak_dbfs = max(level_dbfs, fallen)

    def _lasting_noise(self, level_dbfs: float) -> float:
        """Return the quietest level of the last two seconds minus the spread of noise; -90 before two seconds."""
        self._block_min_dbfs = min(self._block_min_dbfs, level_dbfs)
        if self.position_ms % (_BLOCK_FRAMES * FRAME_MS) == 0:
            self._quietest.append(self._block_min_dbfs)
            self._block_min_dbfs = 0.0
        return min(self._quietest) - _NOISE_SPREAD_DB if len(self._quietest) == _BLOCKS else -90.0

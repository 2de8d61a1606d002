"""Meters the audio of one transcription: what the limiter admitted, what arrived, and what was recorded as a cost."""

from __future__ import annotations

from dataclasses import dataclass

from services.speech.prices import PriceRow

# The limit is spent in blocks ahead of the audio: one call of the limiter per block, not per 20 ms packet.
LIMIT_BLOCK_S = 10


@dataclass(slots=True)
class AudioMeter:
    """Totals of one stream."""

    price: PriceRow
    sample_rate_hz: int
    received_samples: int = 0
    admitted_s: int = 0
    recorded_ms: int = 0
    recorded_micro_usd: int = 0

    @property
    def unrecorded_ms(self) -> int:
        """Milliseconds of audio received since the last `record`."""
        return self.received_samples * 1000 // self.sample_rate_hz - self.recorded_ms

    def needs_block(self, samples: int) -> bool:
        """Return whether `samples` more exceed the admitted audio; True counts another block as admitted."""
        if self.received_samples + samples <= self.admitted_s * self.sample_rate_hz:
            return False
        self.admitted_s += LIMIT_BLOCK_S
        return True

    def record(self) -> tuple[int, int]:
        """Return milliseconds and micro-USD since the previous call; all slices add up to the price of the whole."""
        audio_ms = self.unrecorded_ms
        self.recorded_ms += audio_ms
        slice_micro_usd = self.price.cost_micro_usd(self.recorded_ms) - self.recorded_micro_usd
        self.recorded_micro_usd += slice_micro_usd
        return audio_ms, slice_micro_usd

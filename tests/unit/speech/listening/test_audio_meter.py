"""Blocks of the limiter and slices of the cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.speech.listening.audio_meter import LIMIT_BLOCK_S, AudioMeter
from services.speech.prices import MINUTE_MS, PriceRow

RATE_HZ = 16_000
PRICE = PriceRow("vendor", "model", "2026-11-01", 6_500, MINUTE_MS)


def test_a_block_is_needed_before_the_first_sample_and_after_each_ten_seconds():
    meter = AudioMeter(PRICE, RATE_HZ)
    needed = []
    for second in range(3 * LIMIT_BLOCK_S):
        if meter.needs_block(RATE_HZ):
            needed.append(second)
        meter.received_samples += RATE_HZ
    assert needed == [0, 10, 20]


@given(st.lists(st.integers(1, 5 * RATE_HZ), min_size=1, max_size=20))
def test_recorded_slices_add_up_to_the_whole(packets):
    meter = AudioMeter(PRICE, RATE_HZ)
    slices = []
    for samples in packets:
        meter.received_samples += samples
        slices.append(meter.record())
    audio_ms = sum(packets) * 1000 // RATE_HZ
    assert meter.unrecorded_ms == 0
    assert (sum(ms for ms, _ in slices), sum(cost for _, cost in slices)) == (audio_ms, PRICE.cost_micro_usd(audio_ms))

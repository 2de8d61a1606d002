"""Resamples a stream of audio with a polyphase windowed-sinc filter, independent of how the audio is split."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
_ZERO_CROSSINGS = 12  # on each side; with this window the stop band lies below -80 dB
_KAISER_BETA = 8.0
_ROLL_OFF = 0.94  # the pass band ends just below the lower Nyquist frequency


@lru_cache(maxsize=16)
def _filter_bank(up: int, down: int) -> NDArray[np.float32]:
    """Return one filter per position between two input samples, shape (up, taps)."""
    cutoff = min(1.0, up / down) * _ROLL_OFF
    half = ceil(_ZERO_CROSSINGS / cutoff)
    offsets = np.arange(-half + 1, half + 1)
    distance = offsets[None, :] - (np.arange(up) / up)[:, None]
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    bank = cutoff * np.sinc(cutoff * distance) * window
    normed: NDArray[np.float32] = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed


class Resampler:
    """Resampler of one stream: n seconds in give n seconds out after `flush`."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Start a stream.

        Args:
            from_hz: Rate of the samples pushed, 8000 to 48000.
            to_hz: Rate of the samples returned, 8000 to 48000.
        """
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._same = self._up == self._down
        self._bank = _filter_bank(self._up, self._down) if not self._same else np.zeros((1, 2), np.float32)
        self._half = self._bank.shape[1] // 2
        # The filter looks back beyond the first sample: silence stands there.
        self._held = np.zeros(self._half - 1, np.float32)
        self._samples_in = 0
        self._samples_out = 0
        self._dropped = 0

    def push(self, samples: Samples) -> Samples:
        """Return the samples that are ready; the last few wait for the input after them."""
        if self._same:
            return samples
        self._samples_in += len(samples)
        self._held = np.concatenate([self._held, samples.astype(np.float32)])
        # Output n lies at input n * down / up and needs `half` samples after it.
        return self._produce(-(-(self._samples_in - self._half) * self._up // self._down))

    def flush(self) -> Samples:
        """Return the remaining samples, as if silence followed; the stream is over."""
        if self._same:
            return np.zeros(0, np.int16)
        total = -(-self._samples_in * self._up // self._down)
        self._held = np.concatenate([self._held, np.zeros(self._half + 1, np.float32)])
        return self._produce(total)

    def _produce(self, until: int) -> Samples:
        count = until - self._samples_out
        if count <= 0:
            return np.zeros(0, np.int16)
        positions = (self._samples_out + np.arange(count, dtype=np.int64)) * self._down
        starts = positions // self._up - self._drop_before(int(positions[0]) // self._up)
        windows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._half)
        made = np.einsum("ij,ij->i", windows[starts], self._bank[positions % self._up])
        self._samples_out = until
        rounded: Samples = np.clip(np.rint(made), -32768, 32767).astype(np.int16)
        return rounded

    def _drop_before(self, start: int) -> int:
        """Drop held samples that no later output needs; return the position of the first one held."""
        if start > self._dropped:
            self._held = self._held[start - self._dropped :]
            self._dropped = start
        return self._dropped

"""What a recording holds: read from a WAV, brought to the caller's rate, trimmed to its loud part."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
# Decoded silence stays within a few units of 32768; the quietest voice in use peaks above 3000.
LOUD_AMPLITUDE = 250
SECONDS_MIN, SECONDS_MAX = 0.2, 30.0

Pcm = NDArray[np.int16]


class NotARecording(ValueError):
    """The file cannot be asked; the message says why, in one line."""


def read_wav(path: Path) -> Pcm:
    """A question from a PCM WAV of any rate, width and channels: (samples,) int16, mono, 48 kHz, trimmed.

    Raises NotARecording when the file is missing, is not a PCM WAV, is silent, or lasts less than 0.2 s or over 30 s.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate_hz, width, channels, frames = (
                file.getframerate(),
                file.getsampwidth(),
                file.getnchannels(),
                file.getnframes(),
            )
            if not SECONDS_MIN <= frames / max(rate_hz, 1) <= SECONDS_MAX:
                raise NotARecording(f"{path}: lasts {frames / max(rate_hz, 1):.1f} s; send 0.2 s to 30 s of speech")
            data = file.readframes(frames)
    except OSError as error:
        raise NotARecording(f"{path}: {error.strerror or error}") from error
    except (wave.Error, EOFError) as error:
        raise NotARecording(f"{path}: not a PCM WAV file ({error or 'it ends too early'}); send 16-bit PCM") from error
    samples = _to_float(data, width)
    mono = samples[: len(samples) // channels * channels].reshape(-1, channels).mean(axis=1)
    spoken = trimmed(resample(_to_pcm(mono), rate_hz, RATE_HZ))
    if not len(spoken):
        raise NotARecording(f"{path}: holds only silence; record a question")
    return spoken


def _to_float(data: bytes, width: int) -> NDArray[np.float64]:
    """Samples in -1 to 1. WAV holds 8-bit samples unsigned and wider ones signed, little-endian."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    whole = np.frombuffer(data[: len(data) // width * width], np.uint8).reshape(-1, width)
    widened = np.zeros((len(whole), 4), np.uint8)
    widened[:, 4 - width :] = whole
    return widened.view("<i4").reshape(-1).astype(np.float64) / 2**31


def _to_pcm(samples: NDArray[np.float64]) -> Pcm:
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


def resample(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    """The same sound at another rate, band-limited (exact for the periodic extension; made for short recordings)."""
    if from_hz == to_hz or not len(pcm):
        return pcm
    length = int(len(pcm) * Fraction(to_hz, from_hz))
    # Half a second of padding keeps the end from leaking into the start, which a Fourier resampler joins.
    padding = from_hz // 2
    padded = np.concatenate([pcm.astype(np.float64), np.zeros(padding)])
    padded_length = int(len(padded) * Fraction(to_hz, from_hz))
    spectrum = np.fft.rfft(padded)
    bins = padded_length // 2 + 1
    fitted = np.zeros(bins, np.complex128)
    kept = min(bins, len(spectrum))
    fitted[:kept] = spectrum[:kept]
    sound = np.fft.irfft(fitted, padded_length) * (padded_length / len(padded))
    return np.clip(np.rint(sound[:length]), -32768, 32767).astype(np.int16)


def loud_span(pcm: Pcm) -> tuple[int, int] | None:
    """First loud sample and the one after the last, or None for silence."""
    # A widened copy: the absolute value of -32768 does not fit in int16.
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= LOUD_AMPLITUDE)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else None


def trimmed(pcm: Pcm) -> Pcm:
    """The recording from its first to its last loud sample, so that its end is the end of speech."""
    span = loud_span(pcm)
    return pcm[span[0] : span[1]] if span else pcm[:0]


def write_wav(path: Path, said: Pcm, heard: Pcm) -> None:
    """Both sides of a call as stereo at 48 kHz: what was said on the left, what was heard on the right."""
    length = max(len(said), len(heard))
    both = np.zeros((length, 2), np.int16)
    both[: len(said), 0] = said
    both[: len(heard), 1] = heard
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(both.tobytes())

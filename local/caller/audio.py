"""Read and write WAV files; resample and trim speech."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
# Decoded silence stays below 10 of 32768; the quietest voice in use peaks above 3000.
LOUD_AMPLITUDE = 250
SECONDS_MIN, SECONDS_MAX = 0.2, 30.0

Pcm = NDArray[np.int16]


class InvalidRecording(ValueError):
    """The file cannot be used as a question; the message is one line with the reason."""


def read_wav(path: Path) -> Pcm:
    """Return the speech of a PCM WAV as (samples,) int16, 48 kHz mono, without leading and trailing silence.

    Args:
        path: a WAV file of any sample rate, sample width and number of channels, 0.2 s to 30 s long.

    Raises:
        InvalidRecording: The file is missing, is not a PCM WAV, is silent, or is too short or too long.
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
                raise InvalidRecording(
                    f"{path}: lasts {frames / max(rate_hz, 1):.1f} s; record 0.2 s to 30 s of speech"
                )
            data = file.readframes(frames)
    except OSError as error:
        raise InvalidRecording(f"{path}: {error.strerror or error}") from error
    except (wave.Error, EOFError) as error:
        raise InvalidRecording(
            f"{path}: not a PCM WAV file ({error or 'it ends too early'}); send 16-bit PCM"
        ) from error
    samples = _to_float(data, width)
    mono = samples[: len(samples) // channels * channels].reshape(-1, channels).mean(axis=1)
    spoken = trim_silence(resample(_to_pcm(mono), rate_hz, RATE_HZ))
    if not len(spoken):
        raise InvalidRecording(f"{path}: contains only silence; record a question")
    return spoken


def _to_float(data: bytes, width: int) -> NDArray[np.float64]:
    """Return samples from -1 to 1. WAV stores 8-bit samples unsigned and wider ones signed, little-endian."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    whole = np.frombuffer(data[: len(data) // width * width], np.uint8).reshape(-1, width)
    widened = np.zeros((len(whole), 4), np.uint8)
    widened[:, 4 - width :] = whole
    return widened.view("<i4").reshape(-1).astype(np.float64) / 2**31


def _to_pcm(samples: NDArray[np.float64]) -> Pcm:
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


def resample(pcm: Pcm, from_hz: int, to_hz: int) -> Pcm:
    """Return `pcm` at another sample rate, with a Fourier method for short recordings.

    Args:
        pcm: (samples,) int16.
        from_hz: its sample rate.
        to_hz: the new sample rate.
    """
    if from_hz == to_hz or not len(pcm):
        return pcm
    length = int(len(pcm) * Fraction(to_hz, from_hz))
    # The Fourier method treats the signal as periodic; 0.5 s of padding keeps the end out of the start.
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
    """Return the index of the first loud sample and the index after the last one, or None for silence."""
    # A widened copy: the absolute value of -32768 does not fit in int16.
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= LOUD_AMPLITUDE)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else None


def trim_silence(pcm: Pcm) -> Pcm:
    """Return `pcm` from its first to its last loud sample, so that its end is the end of speech."""
    span = loud_span(pcm)
    return pcm[span[0] : span[1]] if span else pcm[:0]


def write_wav(path: Path, caller: Pcm, agent: Pcm) -> None:
    """Write both sides of a call as 48 kHz stereo.

    Args:
        path: file to write.
        caller: speech of the caller, left channel.
        agent: speech of the agent, right channel.
    """
    length = max(len(caller), len(agent))
    both = np.zeros((length, 2), np.int16)
    both[: len(caller), 0] = caller
    both[: len(agent), 1] = agent
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(both.tobytes())

"""Reading, resampling, trimming and writing of WAV files."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from local.caller.audio import RATE_HZ, InvalidRecording, loud_span, read_wav, resample, trim_silence, write_wav


def tone(rate_hz: int, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(np.arange(int(rate_hz * seconds)) * 2 * np.pi * 440 / rate_hz)


def save(path, samples, rate_hz, width=2, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        whole = np.rint(np.repeat(samples, channels) * (2 ** (8 * width - 1) - 1)).astype("<i4")
        if width == 1:
            data = (whole + 128).astype(np.uint8).tobytes()
        else:
            data = whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        file.writeframes(data)
    return path


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_any_rate_and_width_keeps_duration_and_loudness(tmp_path, rate_hz, width):
    pcm = read_wav(save(tmp_path / "q.wav", tone(rate_hz, 0.5), rate_hz, width))
    assert abs(len(pcm) - RATE_HZ // 2) < RATE_HZ * 0.01
    assert pytest.approx(np.abs(pcm.astype(int)).max(), rel=0.1) == 16_000


def test_channels_are_mixed_to_mono(tmp_path):
    stereo = np.stack([tone(48000, 0.5), -tone(48000, 0.5)], axis=1).reshape(-1)
    with pytest.raises(InvalidRecording, match="only silence"):
        read_wav(save_interleaved(tmp_path / "q.wav", stereo))


def save_interleaved(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_silence_around_speech_is_trimmed(tmp_path):
    quiet = np.zeros(24000)
    pcm = read_wav(save(tmp_path / "q.wav", np.concatenate([quiet, tone(48000, 0.5), quiet]), 48000))
    assert abs(len(pcm) - 24000) < 480


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "not a PCM WAV"), (b"hello, this is text", "not a PCM WAV"), (b"RIFF\x10\0\0\0WAVEjunk", "not a PCM WAV")],
)
def test_error_for_a_file_that_is_not_wav_names_it_in_one_line(tmp_path, data, message):
    path = tmp_path / "q.wav"
    path.write_bytes(data)
    with pytest.raises(InvalidRecording, match=message) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_error_for_a_missing_file(tmp_path):
    with pytest.raises(InvalidRecording, match="No such file"):
        read_wav(tmp_path / "none.wav")


@pytest.mark.parametrize("seconds", [0.1, 31])
def test_error_for_a_recording_outside_the_length_limits(tmp_path, seconds):
    with pytest.raises(InvalidRecording, match="lasts"):
        read_wav(save(tmp_path / "q.wav", tone(8000, seconds), 8000))


def test_resampling_round_trip_preserves_the_signal():
    pcm = (tone(16000, 0.5) * 32767).astype(np.int16)
    again = resample(resample(pcm, 16000, 48000), 48000, 16000)
    middle = slice(800, -800)
    assert np.abs(again[middle].astype(int) - pcm[middle]).max() < 100


def test_loud_span_handles_the_lowest_sample_value():
    assert loud_span(np.array([0, -32768, 0], np.int16)) == (1, 2)
    assert loud_span(np.zeros(10, np.int16)) is None
    assert len(trim_silence(np.zeros(10, np.int16))) == 0


def test_write_wav_puts_the_two_sides_into_stereo_channels(tmp_path):
    write_wav(tmp_path / "call.wav", np.array([1, 2], np.int16), np.array([3], np.int16))
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, RATE_HZ)
        assert list(np.frombuffer(file.readframes(2), np.int16)) == [1, 3, 2, 0]

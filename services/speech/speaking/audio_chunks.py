"""Chunks of synthesized audio as the stream sends them: placed in the stream, and bounded in length."""

from __future__ import annotations

from services.speech.events import AudioChunk, shifted

CHUNK_MS_MAX = 50
BYTES_PER_SAMPLE = 2


def placed(chunk: AudioChunk, start_s: float, sample_rate_hz: int) -> list[AudioChunk]:
    """Return `chunk` in parts of at most 50 ms, with its words at their positions in the stream.

    Args:
        chunk: Audio of a segment; its words count from the start of the segment.
        start_s: Position of the segment in the stream, in seconds.
        sample_rate_hz: Rate of the audio.
    """
    bytes_max = sample_rate_hz * CHUNK_MS_MAX // 1000 * BYTES_PER_SAMPLE
    words = shifted(chunk.words, start_s)
    # An engine may name its last word after its last audio.
    starts = range(0, len(chunk.pcm), bytes_max) if chunk.pcm else range(len(words[:1]))
    # All words travel with the first part: players go by the words' times.
    return [AudioChunk(chunk.pcm[at : at + bytes_max], () if at else words) for at in starts]

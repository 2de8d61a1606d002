"""Length and word positions of audio chunks."""

from __future__ import annotations

import pytest

from services.speech.events import AudioChunk, Word
from services.speech.speaking.audio_chunks import placed

RATE_HZ = 16_000
HELLO = Word("hello", 0.1, 0.4)


@pytest.mark.parametrize(("length_ms", "parts_ms"), [(20, [20]), (50, [50]), (120, [50, 50, 20])])
def test_a_chunk_is_cut_into_parts_of_at_most_50_ms(length_ms, parts_ms):
    parts = placed(AudioChunk(bytes(2 * RATE_HZ * length_ms // 1000)), 0.0, RATE_HZ)
    assert [len(part.pcm) * 1000 // 2 // RATE_HZ for part in parts] == parts_ms


def test_words_travel_with_the_first_part_at_their_position_in_the_stream():
    first, second = placed(AudioChunk(bytes(2 * RATE_HZ // 10), (HELLO,)), 2.0, RATE_HZ)
    assert (first.words, second.words) == ((Word("hello", 2.1, 2.4),), ())


def test_words_without_audio_are_one_empty_part():
    assert placed(AudioChunk(b"", (HELLO,)), 0.0, RATE_HZ) == [AudioChunk(b"", (HELLO,))]
    assert placed(AudioChunk(b""), 0.0, RATE_HZ) == []

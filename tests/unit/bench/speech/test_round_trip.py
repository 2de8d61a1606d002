"""Rows of the table of the embedded speech engines."""

from __future__ import annotations

from bench.speech.round_trip import TABLE, Run, row, word_errors


def test_a_row_has_words_delays_and_cpu():
    run = Run("en-us", key_terms=True, words=96, errors=3, cpu_s=0.9, audio_s=20.0, first_audio_ms=[4.0, 5.0, 9.0])
    run.delays_ms = {"preflight": [40.0, 41.0, 154.0], "final": [213.0]}
    assert row(run) == ["en-us", "yes", "93 of 96", "41", "154", "213", "5", "45"]
    assert len(row(run)) == len(TABLE.columns)


def test_delays_are_empty_when_audio_was_not_sent_in_real_time():
    run = Run("en-gb", key_terms=False, words=96, errors=54, cpu_s=0.9, audio_s=20.0)
    assert row(run) == ["en-gb", "no", "42 of 96", "", "", "", "", "45"]


def test_word_errors_are_an_edit_distance():
    assert word_errors("what time is it", "What time is that now") == 2

"""Row of the table of recorded streams."""

from __future__ import annotations

from bench.llm_router.replay import TABLE, row


def test_the_row_counts_identical_and_all_recordings():
    assert row([True, False, True]) == ["2", "3"]
    assert len(row([])) == len(TABLE.columns)

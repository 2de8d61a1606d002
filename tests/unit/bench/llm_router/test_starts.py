"""Rows of the table of request starts."""

from __future__ import annotations

from bench.llm_router.latency import Seen
from bench.llm_router.starts import TABLE, Starts, rows


def test_each_path_has_a_row_relative_to_the_raw_client():
    starts = {
        "raw client": Starts(Seen(first=[50.0, 51.0, 52.0]), [1.0, 2.0]),
        "router": Starts(Seen(first=[53.0, 54.0, 60.0]), [4.0, 6.0]),
    }
    found = rows(starts)
    assert found == [
        ["raw client", "51.00", "+0.00", "+0.00", "1.500"],
        ["router", "54.00", "+3.00", "+3.00", "5.000"],
    ]
    assert len(found[0]) == len(TABLE.columns)

"""Rows of the table of decisions per CPU-second."""

from __future__ import annotations

from bench.ratelimit.__main__ import RUN_S, TABLE, Measurement, row


def test_a_row_has_rates_and_quantiles():
    measured = Measurement(decisions=6000, cpu_s=2.0, calls_s=[n / 1e6 for n in range(100, 0, -1)])
    found = row("`Check`", "service", measured)
    assert found == ["`Check`", "service", "3,000", f"{6000 / RUN_S:,.0f}", "51.0", "100.0"]
    assert len(found) == len(TABLE.columns)


def test_cpu_below_a_tick_counts_as_one_tick():
    assert row("leased", "service", Measurement(100, 0.0, [0.001]))[2] == "10,000"

"""Rows of the table of voice latency."""

from __future__ import annotations

from bench.voice.__main__ import CALLER, QUIET_LOAD_MAX, TABLE, UNDER_LOAD, quantile, rows, table_for


def test_a_quantile_is_one_of_the_values():
    values = [float(n) for n in range(1, 21)]
    assert (quantile(values, 0.5), quantile(values, 0.95), quantile(values, 1)) == (10, 19, 20)
    assert quantile([7.0], 0.95) == 7


def test_each_timing_of_each_profile_has_a_row():
    found = rows({"safe": {CALLER: [400.0, 450.0, 720.0], "end_of_turn": [12.4]}, "floor": {"round_trip": [120.0]}})
    assert found == [
        ["safe", "caller's clock", "3", "450", "720", "720"],
        ["safe", "end of turn", "1", "12", "12", "12"],
        ["floor", "round trip", "1", "120", "120", "120"],
    ]
    assert {len(row) for row in found} == {len(TABLE.columns)}


def test_a_run_on_a_busy_machine_fills_a_table_of_its_own():
    assert table_for(QUIET_LOAD_MAX).name == TABLE.name
    busy = table_for(3.2)
    assert busy.name == UNDER_LOAD.name
    assert "Load 3.2 before the run." in busy.note

"""Benchmark tables in pages come from the results files."""

from __future__ import annotations

import pytest

from scripts.gen_benchmarks import Unknown, read_tables, rendered_page

TABLES = {
    "speed": {
        "measured": "2026-11-26",
        "machine": "two cores",
        "command": "python -m bench.speed",
        "note": "Ten runs.",
        "columns": ["policy", "µs"],
        "rows": [["a|b", "1.5"]],
    }
}
PAGE = "before\n<!-- bench:speed -->\nold\n<!-- /bench -->\nafter\n"


def test_a_section_is_replaced_by_its_table_and_caption():
    page = rendered_page(PAGE, TABLES)
    assert page == (
        "before\n<!-- bench:speed -->\n\n| policy | µs |\n| --- | --- |\n| a&#124;b | 1.5 |\n\n"
        "Ten runs. Measured 2026-11-26 on two cores: `python -m bench.speed`.\n\n<!-- /bench -->\nafter\n"
    )


def test_rendering_twice_changes_nothing():
    page = rendered_page(PAGE, TABLES)
    assert rendered_page(page, TABLES) == page


def test_an_unknown_table_is_named():
    with pytest.raises(Unknown, match="speed"):
        rendered_page(PAGE, {})


def test_each_results_file_has_rows_as_wide_as_its_columns():
    for name, table in read_tables().items():
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}, name

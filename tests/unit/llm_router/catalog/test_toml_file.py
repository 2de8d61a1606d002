"""Errors name the file and the line."""

from __future__ import annotations

import pytest

from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.catalog.toml_file import TiersFileError, line_of, parse_tiers

TEXT = shipped_table()


def line(part: str, after: str = "") -> int:
    start = TEXT.index(after) if after else 0
    return TEXT[: TEXT.index(part, start)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "header"),
    [
        ("share = 0.25", "share = 2", "[tiers.moderate]"),
        ("input = 3.00", 'input = "three"', '[[models."claude-sonnet-4-5".prices]]'),
        ("prompt_tokens_max = 100_000", "prompt_tokens_max = 0", '[[models."claude-haiku-5-5".prices]]'),
        ('provider = "openai"', 'provider = "acme"', '[models."openai-compatible"]'),
        ("share = 0.25", "share = nan", "[tiers.moderate]"),
        ("share = 0.25", "share = inf", "[tiers.moderate]"),
        ("share = 0.25", "share = 1e400", "[tiers.moderate]"),
        ("input = 3.00", "input = inf", '[[models."claude-sonnet-4-5".prices]]'),
        ("input = 3.00", "input = nan", '[[models."claude-sonnet-4-5".prices]]'),
        ("input = 3.00", "input = 1e400", '[[models."claude-sonnet-4-5".prices]]'),
        ("input = 3.00", "input = 1e99999999999999999999", '[[models."claude-sonnet-4-5".prices]]'),
        ("input = 3.00", "input = 1e-99999999999999999999", '[[models."claude-sonnet-4-5".prices]]'),
        ('vendor_model = "claude-sonnet-5-5"', 'vendor_model = ""', '[models."claude-sonnet-5-5"]'),
    ],
)
def test_an_invalid_value_is_reported_with_its_line(old: str, new: str, header: str):
    with pytest.raises(TiersFileError, match=rf"mine\.toml, line {line(old, header)}: "):
        parse_tiers(TEXT.replace(old, new, 1), "mine.toml")


def price_rows(*rows: tuple[str, int | None]) -> str:
    """The table with these price rows (date and band) for a model."""
    head = TEXT.index('[[models."gemini-3.8-flash".prices]]')
    end = TEXT.index('[models."claude-haiku-5-5"]')
    bands = [(day, "" if band is None else f"prompt_tokens_max = {band}\n") for day, band in rows]
    said = (f'[[models."gemini-3.8-flash".prices]]\nvalid_from = {d}\n{b}input = 1.0\noutput = 1.0\n' for d, b in bands)
    return TEXT[:head] + "".join(said) + TEXT[end:]


@pytest.mark.parametrize(
    ("rows", "wrong", "remedy"),
    [
        ([("2026-09-01", None), ("2026-09-01", None)], 1, "remove one"),
        ([("2026-09-01", None), ("2026-09-01", 1000), ("2026-09-01", 1000)], 2, "remove one"),
        # The same moment, said in two ways.
        ([("2026-09-01", None), ("2026-09-01T01:00:00+01:00", None)], 1, "remove one"),
        ([("2026-09-01", None), ("2026-10-01", 1000)], 1, "add one without prompt_tokens_max"),
    ],
)
def test_price_rows_with_gaps_or_overlaps_are_refused(rows, wrong: int, remedy: str):
    text = price_rows(*rows)
    starts = [n for n, said in enumerate(text.splitlines(), 1) if said == '[[models."gemini-3.8-flash".prices]]']
    with pytest.raises(TiersFileError, match=rf"line {starts[wrong]}: .*{remedy}"):
        parse_tiers(text, "mine.toml")


def test_price_rows_of_one_day_may_differ_in_their_bands():
    table = parse_tiers(price_rows(("2026-09-01", 1000), ("2026-09-01", 2000), ("2026-09-01", None)), "mine.toml")
    assert [p.prompt_tokens_max for p in table.models["gemini-3.8-flash"].prices] == [1000, 2000, None]


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, f"a = {'[' * 500}1{']' * 500}"])
def test_values_that_crash_the_toml_parser_are_reported_as_invalid(text: str):
    with pytest.raises(TiersFileError, match="mine.toml"):
        parse_tiers(text, "mine.toml")


def test_a_toml_syntax_error_is_reported_with_its_line():
    with pytest.raises(TiersFileError, match="line 2"):
        parse_tiers("a = 1\nb = = 2\n", "mine.toml")


def test_a_missing_entry_is_reported_by_its_table():
    assert line_of("[a]\nx = 1\n[b]\ny = 2\n", ("b", "z")) == 3

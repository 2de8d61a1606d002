"""A wrong file is named with the line of what is wrong."""

from __future__ import annotations

from importlib import resources

import pytest

from services.llm_router.tiers_toml import TiersFileError, line_of, parse_tiers

TEXT = resources.files("services.llm_router").joinpath("tiers.toml").read_text("utf-8")


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
    ],
)
def test_the_line_of_a_wrong_value(old: str, new: str, header: str):
    with pytest.raises(TiersFileError, match=rf"mine\.toml, line {line(old, header)}: "):
        parse_tiers(TEXT.replace(old, new, 1), "mine.toml")


def test_broken_toml_is_named_by_the_parser():
    with pytest.raises(TiersFileError, match="line 2"):
        parse_tiers("a = 1\nb = = 2\n", "mine.toml")


def test_a_missing_entry_is_named_by_its_table():
    assert line_of("[a]\nx = 1\n[b]\ny = 2\n", ("b", "z")) == 3

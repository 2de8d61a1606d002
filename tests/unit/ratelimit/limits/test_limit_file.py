"""Limits files: what they may hold, and the line and field of an error."""

from __future__ import annotations

import pytest

from services.ratelimit.errors import LimitNotFound
from services.ratelimit.limits.limit_file import LimitFileError, parse_limit_file
from services.ratelimit.limits.rate_limits import Algorithm
from services.ratelimit.settings import DEFAULT_LIMITS

RATE = "[rates.r]\nwindow_s = 1\nfree = 1\nstandard = 2\npremium = 3\n"


def test_default_limits_cover_every_limit_of_the_mesh_in_every_tier():
    table = parse_limit_file(DEFAULT_LIMITS.read_text())
    for tier in ("free", "standard", "premium"):
        for name in ("llm_requests", "stt_audio_seconds", "tts_characters", "rag_queries"):
            assert table.rate(name, tier).window_us == 60_000_000
        assert table.slot("rooms", tier).capacity_slots > 0
    assert table.rate("llm_requests", "free").capacity_units < table.rate("llm_requests", "premium").capacity_units


def test_file_overrides_limits_by_name():
    table = parse_limit_file(RATE.replace("rates.r", "rates.rooms") + "[slots.s]\nfree=1\nstandard=1\npremium=0\n")
    merged = table.with_defaults(parse_limit_file(DEFAULT_LIMITS.read_text()))
    assert merged.rate("rooms", "standard").capacity_units == 2
    with pytest.raises(LimitNotFound):
        merged.slot("rooms", "standard")
    assert merged.rate("rag_queries", "free").capacity_units > 0


def test_smooth_limit_and_fractional_window_are_read():
    limit = parse_limit_file(RATE.replace("window_s = 1", 'window_s = 0.5\nalgorithm = "smooth"')).rate("r", "premium")
    assert (limit.window_us, limit.algorithm, limit.burst_units) == (500_000, Algorithm.SMOOTH, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rates.r\n", "the file is not TOML: .*line 1"),
        ("[limits.r]\n", r"line 1: limits is not a known"),
        (RATE + "prmium = 1\n", r"line 6: rates.r.prmium is not a known"),
        (RATE.replace("standard = 2", 'standard = "2"'), r"line 4: rates.r.standard is required"),
        (RATE.replace("standard = 2", "standard = -1"), r"line 4: rates.r.standard is required"),
        (RATE.replace("standard = 2", "standard = true"), r"line 4: rates.r.standard is required"),
        (RATE.replace("free = 1\n", ""), r"line 1: rates.r.free is required"),
        (RATE.replace("window_s = 1", "window_s = 0"), r"line 2: rates.r.window_s is 0 s; must be 0.1"),
        (RATE.replace("window_s = 1\n", ""), r"line 1: rates.r.window_s is required"),
        (RATE.replace("window_s = 1", 'window_s = 1\nalgorithm = "x"'), r"line 3: rates.r.algorithm must be"),
        (
            RATE.replace("window_s = 1", 'window_s = 1\nalgorithm = "smooth"').replace("= 3", "= 900000"),
            r"line 6: rates.r.premium is over 50000 units per second",
        ),
        (RATE.replace("rates.r", "rates.R"), r"line 1: rates.R must be 1 to 64"),
        ("rates = 3\n", r"line 1: rates must hold tables"),
        ("[rates]\nr = 3\n", r"line 2: rates.r must be a table"),
        (RATE + "[slots.r]\nfree = 1\nstandard = 2\npremium = 3\n", r"line 6: slots.r is also a rate limit"),
        ("[slots.s]\nfree = 1\nstandard = 2\npremium = 3\nwindow_s = 1\n", r"line 5: slots.s.window_s is not a known"),
    ],
)
def test_error_names_line_and_field(text, message):
    with pytest.raises(LimitFileError, match=message):
        parse_limit_file(text)

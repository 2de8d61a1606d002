"""Reads a limits file (TOML) into a limit table; an error names the line and the field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from hocket.chassis.identity import TENANT_TIERS as TIERS
from services.ratelimit.limits.limit_table import LimitTable
from services.ratelimit.limits.rate_limits import US, Algorithm, RateLimit, SlotLimit
from services.ratelimit.limits.spends import COST_UNITS_MAX as UNITS_MAX
from services.ratelimit.text_fields import LIMIT_NAME

WINDOW_S_MIN, WINDOW_S_MAX = 0.1, 7 * 86_400
# GCRA on a microsecond clock: at higher rates the rounding of the interval costs more than a few percent.
SMOOTH_UNITS_PER_S_MAX = 50_000
_RATE_FIELDS = {"window_s", "algorithm", *TIERS}
_HEADER = re.compile(r"\s*\[\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"']+)\s*=")

L = TypeVar("L")


class LimitFileError(ValueError):
    """The file is malformed; the message names the line and the field."""


def parse_limit_file(text: str) -> LimitTable:
    """Parse a limits file.

    Args:
        text: The file's content; the format is described in default_limits.toml.

    Raises:
        LimitFileError: The first problem found.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LimitFileError(f"the file is not TOML: {error}") from error
    reader = _Reader(_lines(text))
    for section in document:
        if section not in {"rates", "slots"}:
            raise reader.error_at((section,), "is not a known section; write [rates.<name>] or [slots.<name>]")
    rates = reader.section(document, "rates", reader.rate)
    slots = reader.section(document, "slots", reader.slot)
    for name in rates:
        if name in slots:
            raise reader.error_at(("slots", name), "is also a rate limit; use another name")
    return LimitTable(rates, slots)


class _Reader:
    def __init__(self, lines: Mapping[tuple[str, ...], int]) -> None:
        self._lines = lines

    def error_at(self, path: tuple[str, ...], problem: str) -> LimitFileError:
        line = next((self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), 1)
        return LimitFileError(f"line {line}: {'.'.join(path)} {problem}")

    def section(
        self, document: Mapping[str, Any], kind: str, read: Callable[[str, Mapping[str, Any]], Mapping[str, L]]
    ) -> dict[str, Mapping[str, L]]:
        tables = document.get(kind, {})
        if not isinstance(tables, dict):
            raise self.error_at((kind,), f"must hold tables; write [{kind}.<name>]")
        limits: dict[str, Mapping[str, L]] = {}
        for name, fields in cast("dict[str, Any]", tables).items():
            if not LIMIT_NAME.fullmatch(name):
                raise self.error_at((kind, name), "must be 1 to 64 characters of [a-z0-9_]")
            if not isinstance(fields, dict):
                raise self.error_at((kind, name), f"must be a table; write [{kind}.{name}]")
            limits[name] = read(name, cast("dict[str, Any]", fields))
        return limits

    def rate(self, name: str, fields: Mapping[str, Any]) -> Mapping[str, RateLimit]:
        path = ("rates", name)
        self._only(path, fields, _RATE_FIELDS)
        window_s = fields.get("window_s")
        if isinstance(window_s, bool) or not isinstance(window_s, int | float):
            raise self.error_at((*path, "window_s"), "is required: a number of seconds")
        if not WINDOW_S_MIN <= window_s <= WINDOW_S_MAX:
            raise self.error_at((*path, "window_s"), f"is {window_s} s; must be {WINDOW_S_MIN} to {WINDOW_S_MAX} s")
        try:
            algorithm = Algorithm(fields.get("algorithm", "log"))
        except ValueError as error:
            raise self.error_at((*path, "algorithm"), 'must be "log" or "smooth"') from error
        limits: dict[str, RateLimit] = {}
        for tier, units in self._tiers(path, fields).items():
            if algorithm is Algorithm.SMOOTH and units / window_s > SMOOTH_UNITS_PER_S_MAX:
                raise self.error_at(
                    (*path, tier), f'is over {SMOOTH_UNITS_PER_S_MAX} units per second; use algorithm = "log"'
                )
            limits[tier] = RateLimit(name, units, round(window_s * US), algorithm)
        return limits

    def slot(self, name: str, fields: Mapping[str, Any]) -> Mapping[str, SlotLimit]:
        path = ("slots", name)
        self._only(path, fields, set(TIERS))
        return {tier: SlotLimit(name, units) for tier, units in self._tiers(path, fields).items()}

    def _tiers(self, path: tuple[str, ...], fields: Mapping[str, Any]) -> dict[str, int]:
        for tier in TIERS:
            value = fields.get(tier)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= UNITS_MAX:
                raise self.error_at((*path, tier), f"is required: an integer from 0 (unlimited) to {UNITS_MAX}")
        return {tier: fields[tier] for tier in TIERS}

    def _only(self, path: tuple[str, ...], fields: Mapping[str, Any], known: set[str]) -> None:
        for unknown in sorted(set(fields) - known):
            raise self.error_at((*path, unknown), f"is not a known field; use {', '.join(sorted(known))}")


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each table and key, for block-style TOML."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
        elif key := _KEY.match(line):
            path = (*table, *_path(key[1]))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))

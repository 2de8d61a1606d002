"""Parses the tiers file; errors name file and line."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal, InvalidOperation

from services.llm_router.catalog.schema import read_table
from services.llm_router.catalog.tiers import Path as KeyPath
from services.llm_router.catalog.tiers import TableError, TierTable

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_KEY_PART = re.compile(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')


class TiersFileError(ValueError):
    """The file is invalid; the message names file, line and problem."""


def parse_tiers(text: str, name: str) -> TierTable:
    """Parse and validate the tiers file.

    Args:
        text: TOML.
        name: Name of the file, for messages.

    Raises:
        TiersFileError: Invalid TOML or an invalid entry.
    """
    try:
        return read_table(tomllib.loads(text, parse_float=_number))
    except TableError as error:
        raise TiersFileError(f"{name}, line {line_of(text, error.path)}: {error}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise TiersFileError(f"{name}: {error}") from error


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        # The exponent is out of range; Infinity fails validation with its line number.
        return Decimal("Infinity")


def line_of(text: str, path: KeyPath) -> int:
    """Return the line (from 1) of `path` in TOML `text`, or of the nearest enclosing table."""
    best_line, best_depth = 1, 0
    here: tuple[str | int, ...] = ()
    arrays: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            here = _table_path(header, arrays)
            depth = _shared(here, path)
        else:
            key = _KEY_PART.match(line.strip())
            if key is None or "=" not in line:
                continue
            depth = _shared((*here, "".join(g or "" for g in key.groups())), path)
        if depth > best_depth:
            best_line, best_depth = number, depth
    return best_line


def _table_path(header: re.Match[str], arrays: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    keys: tuple[str | int, ...] = tuple("".join(g or "" for g in m.groups()) for m in _KEY_PART.finditer(header[2]))
    if header[1] == "[[":
        arrays[keys] = arrays.get(keys, -1) + 1
        return (*keys, arrays[keys])
    return keys


def _shared(left: tuple[str | int, ...], right: tuple[str | int, ...]) -> int:
    """Return how many leading keys two paths share; 0 where `left` diverges."""
    for depth, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return 0 if depth == 0 else (depth if depth == len(left) else 0)
    return min(len(left), len(right))

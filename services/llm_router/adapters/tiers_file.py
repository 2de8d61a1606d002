"""The tiers file: read, checked with line numbers, read again on change; a wrong one never replaces a good one."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path

import structlog
from prometheus_client import Counter

from services.llm_router.tiers import Path as KeyPath
from services.llm_router.tiers import TableError, TierTable, read_table

RELOADS = Counter("hocket_llm_router_tiers_file_reloads", "Times the tiers file was read again.", ["outcome"])
_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_KEY_PART = re.compile(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)')
_log = structlog.get_logger()


class TiersFileError(ValueError):
    """The file is wrong; the message names file and line."""


def parse_tiers(text: str, name: str) -> TierTable:
    """The table in `text`. Raises TiersFileError naming `name`, the line and what is wrong."""
    try:
        return read_table(tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise TiersFileError(f"{name}: {error}") from error
    except TableError as error:
        raise TiersFileError(f"{name}, line {line_of(text, error.path)}: {error}") from error


def line_of(text: str, path: KeyPath) -> int:
    """The line (from 1) where `path` stands in TOML `text`, or that of the table nearest to it."""
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
    """How many leading keys two paths share; 0 when `left` goes astray."""
    for depth, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return 0 if depth == 0 else (depth if depth == len(left) else 0)
    return min(len(left), len(right))


class TiersFile:
    """The newest valid table of a file, or of the package's own when no file is named."""

    def __init__(self, path: Path | None, adjust: Callable[[TierTable], TierTable], now_s: Callable[[], float]) -> None:
        """Read `path` now (None: the table shipped with the package); `adjust` is applied to each table read.

        Raises TiersFileError when the first read fails: a service must not start on a wrong table.
        """
        self._path = path
        self._adjust = adjust
        self._now_s = now_s
        self._seen = self._stamp()
        self._current = self._read()
        self._warn_of_ends()

    @property
    def current(self) -> TierTable:
        """The newest valid table."""
        return self._current

    def refresh(self) -> bool:
        """Read the file again if it changed; True when the table is new. A wrong file is logged and changes nothing."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self._current = self._read()
        except TiersFileError as error:
            RELOADS.labels("refused").inc()
            _log.error("tiers file refused, the old table stays", problem=str(error))
            return False
        RELOADS.labels("accepted").inc()
        _log.info("tiers file read", version=self._current.version)
        self._warn_of_ends()
        return True

    async def keep_fresh(self, period_s: float) -> None:
        """Look at the file every `period_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(period_s)
            self.refresh()

    def _stamp(self) -> tuple[int, int]:
        if self._path is None:
            return (0, 0)
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)

    def _read(self) -> TierTable:
        if self._path is None:
            text, name = resources.files("services.llm_router").joinpath("tiers.toml").read_text("utf-8"), "tiers.toml"
        else:
            try:
                text, name = self._path.read_text("utf-8"), str(self._path)
            except (OSError, UnicodeDecodeError) as error:
                raise TiersFileError(f"{self._path}: cannot be read: {error}") from error
        return self._adjust(parse_tiers(text, name))

    def _warn_of_ends(self) -> None:
        for model in self._current.ending(self._now_s()):
            end = datetime.fromtimestamp(model.end_of_life_s or 0, UTC)
            _log.warning("a model leaves service soon", model=model.alias, end_of_life=f"{end:%Y-%m-%d}")

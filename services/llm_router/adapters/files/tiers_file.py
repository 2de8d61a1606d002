"""The tiers file: validated with line numbers, reloaded on change; an invalid file never replaces a valid table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from services.llm_router.catalog.tiers import TierTable
from services.llm_router.catalog.toml_file import TiersFileError, parse_tiers

RELOADS = Counter("hocket_llm_router_tiers_file_reloads", "Reloads of the tiers file, by outcome.", ["outcome"])
DAYS_LEFT = Gauge(
    "hocket_llm_router_model_days_left",
    "Days until the end of life of a listed model, from 60 days before.",
    ["model"],
)
DAY_S = 86_400
SHIPPED_NAME = "tiers.toml"
_log = structlog.get_logger()


def shipped_table() -> str:
    """Return the TOML text of the shipped table."""
    return resources.files("services.llm_router.catalog").joinpath(SHIPPED_NAME).read_text("utf-8")


class TiersFile:
    """The newest valid table of a file, or the shipped table."""

    def __init__(self, path: Path | None, adjust: Callable[[TierTable], TierTable], now_s: Callable[[], float]) -> None:
        """Read the file.

        Args:
            path: TOML file; None for the shipped table.
            adjust: Applied to each table read.
            now_s: Unix time.

        Raises:
            TiersFileError: The file is invalid: a service must not start on an invalid table.
        """
        self._path = path
        self._adjust = adjust
        self._now_s = now_s
        self._seen = self._stamp()
        self._current = self._read()
        self._warned_s = 0.0
        self._warn_of_ends()

    @property
    def current(self) -> TierTable:
        """The newest valid table."""
        return self._current

    def refresh(self) -> bool:
        """Reload the file if it changed; True when the table is new. An invalid file is logged and ignored."""
        stamp = self._stamp()
        if stamp == self._seen:
            if self._now_s() >= self._warned_s + DAY_S:
                self._warn_of_ends()
            return False
        self._seen = stamp
        try:
            self._current = self._read()
        except TiersFileError as error:
            RELOADS.labels("refused").inc()
            _log.error("tiers file invalid, keeping the old table", problem=str(error))
            return False
        RELOADS.labels("accepted").inc()
        _log.info("tiers file loaded", version=self._current.version)
        self._warn_of_ends()
        return True

    async def keep_fresh(self, period_s: float) -> None:
        """Check the file every `period_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(period_s)
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - an ended task would keep the old table without notice
                RELOADS.labels("failed").inc()
                _log.exception("tiers file not readable, keeping the old table")

    def _stamp(self) -> tuple[int, ...]:
        """Return an identifier of the file's version; time and size alone miss files moved or linked into place."""
        if self._path is None:
            return ()
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size)

    def _read(self) -> TierTable:
        if self._path is None:
            text, name = shipped_table(), SHIPPED_NAME
        else:
            try:
                text, name = self._path.read_text("utf-8"), str(self._path)
            except (OSError, UnicodeDecodeError) as error:
                raise TiersFileError(f"{self._path}: cannot be read: {error}") from error
        return self._adjust(parse_tiers(text, name))

    def _warn_of_ends(self) -> None:
        """Warn of models near their end of life: with each new table, and once a day."""
        self._warned_s = now_s = self._now_s()
        DAYS_LEFT.clear()
        for model in self._current.near_end_of_life(now_s):
            end_s = model.end_of_life_s or 0.0
            DAYS_LEFT.labels(model.alias).set((end_s - now_s) / DAY_S)
            end = datetime.fromtimestamp(end_s, UTC)
            _log.warning("model near its end of life", model=model.alias, end_of_life=f"{end:%Y-%m-%d}")

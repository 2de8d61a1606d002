"""The tiers file: read, checked with line numbers, read again on change; a wrong one never replaces a good one."""

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

RELOADS = Counter("hocket_llm_router_tiers_file_reloads", "Times the tiers file was read again.", ["outcome"])
DAYS_LEFT = Gauge(
    "hocket_llm_router_model_days_left",
    "Days until a model in use leaves service, told from 60 days before.",
    ["model"],
)
DAY_S = 86_400
SHIPPED_NAME = "tiers.toml"
_log = structlog.get_logger()


def shipped_table() -> str:
    """The TOML text of the table that ships with the service."""
    return resources.files("services.llm_router.catalog").joinpath(SHIPPED_NAME).read_text("utf-8")


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
        self._warned_s = 0.0
        self._warn_of_ends()

    @property
    def current(self) -> TierTable:
        """The newest valid table."""
        return self._current

    def refresh(self) -> bool:
        """Read the file again if it changed; True when the table is new. A wrong file is logged and changes nothing."""
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
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - a task that ends here would leave the old table in force for ever, unseen
                RELOADS.labels("failed").inc()
                _log.exception("tiers file not read, the old table stays")

    def _stamp(self) -> tuple[int, ...]:
        """What changes when the file does; time and size alone stand still where one is moved or linked into place."""
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
        """Tell which models leave service soon: with each new table, and once a day."""
        self._warned_s = now_s = self._now_s()
        DAYS_LEFT.clear()
        for model in self._current.near_end_of_life(now_s):
            end_s = model.end_of_life_s or 0.0
            DAYS_LEFT.labels(model.alias).set((end_s - now_s) / DAY_S)
            end = datetime.fromtimestamp(end_s, UTC)
            _log.warning("a model leaves service soon", model=model.alias, end_of_life=f"{end:%Y-%m-%d}")

"""The tiers file is reloaded on change; an invalid one changes nothing."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.llm_router.adapters.files.tiers_file import DAYS_LEFT, RELOADS, TiersFile, shipped_table
from services.llm_router.catalog.toml_file import TiersFileError
from tests.fakes.waiting import DEADLINE_S

TEXT = shipped_table()


def write(path: Path, text: str, stamp: int) -> None:
    path.write_text(text)
    os.utime(path, (stamp, stamp))


def test_a_valid_new_table_is_loaded_and_an_invalid_one_is_not(tmp_path):
    path = tmp_path / "tiers.toml"
    write(path, TEXT, 1)
    file = TiersFile(path, lambda t: t, lambda: 0.0)
    assert not file.refresh()
    write(path, TEXT.replace('version = "2026-11-22"', 'version = "next"'), 2)
    assert file.refresh()
    assert file.current.version == "next"
    write(path, "version = 1", 3)
    assert not file.refresh()
    assert file.current.version == "next"
    path.unlink()
    assert not file.refresh()
    assert file.current.version == "next"


def test_a_replaced_file_of_equal_time_and_size_is_loaded(tmp_path):
    """As a mounted ConfigMap changes, and as `cp -p` and `rsync -t` leave files."""
    for name in ("then", "next"):
        write(tmp_path / name, TEXT.replace('version = "2026-11-22"', f'version = "{name}"'), 1)
    path, fresh = tmp_path / "tiers.toml", tmp_path / "fresh"
    path.symlink_to("then")
    file = TiersFile(path, lambda t: t, lambda: 0.0)
    assert file.current.version == "then"
    fresh.symlink_to("next")
    fresh.replace(path)
    assert file.refresh()
    assert file.current.version == "next"


def test_end_of_life_is_logged_daily_for_sixty_days():
    now = datetime(2026, 8, 1, tzinfo=UTC)
    file = TiersFile(None, lambda t: t, lambda: now.timestamp())  # noqa: PLW0108 - of whatever `now` is then
    end_s = file.current.models["gemini-2.5-flash"].end_of_life_s
    assert end_s is not None
    told: list[int] = []
    with capture_logs() as logs:
        for after_days in (0, 111, 0.5, 0.5, 0.9, 0.1):
            now += timedelta(days=after_days)
            file.refresh()
            told.append(sum(entry.get("model") == "gemini-2.5-flash" for entry in logs))
    left = {sample.labels["model"]: sample.value for sample in DAYS_LEFT.collect()[0].samples}
    assert told == [0, 1, 1, 2, 2, 3]
    assert left["gemini-2.5-flash"] == pytest.approx((end_s - now.timestamp()) / 86_400)


def test_a_first_read_that_fails_is_an_error(tmp_path):
    with pytest.raises(TiersFileError, match="cannot be read"):
        TiersFile(tmp_path / "none.toml", lambda t: t, lambda: 0.0)


async def test_the_reload_task_survives_any_error(tmp_path):
    path = tmp_path / "tiers.toml"
    write(path, TEXT, 1)
    wrong: list[Exception] = []

    def adjust(table):
        if wrong:
            raise wrong.pop()
        return table

    file = TiersFile(path, adjust, lambda: 0.0)
    failed = RELOADS.labels("failed")._value.get()
    wrong.append(RuntimeError("nobody thought of this"))
    task = asyncio.create_task(file.keep_fresh(0.001))
    write(path, TEXT.replace('version = "2026-11-22"', 'version = "lost"'), 2)
    async with asyncio.timeout(DEADLINE_S):
        while RELOADS.labels("failed")._value.get() == failed:  # noqa: ASYNC110 - a counter sets no event
            await asyncio.sleep(0.001)
        assert file.current.version == "2026-11-22"
        write(path, TEXT.replace('version = "2026-11-22"', 'version = "next"'), 3)
        while file.current.version != "next":  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()

"""The tiers file is read again when it changes; a wrong one changes nothing."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pytest

from services.llm_router.adapters.tiers_file import TiersFile
from services.llm_router.tiers_toml import TiersFileError

TEXT = resources.files("services.llm_router").joinpath("tiers.toml").read_text("utf-8")


def write(path: Path, text: str, stamp: int) -> None:
    path.write_text(text)
    os.utime(path, (stamp, stamp))


def test_a_new_table_is_taken_and_a_wrong_one_is_not(tmp_path):
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


def test_a_first_read_that_fails_is_an_error(tmp_path):
    with pytest.raises(TiersFileError, match="cannot be read"):
        TiersFile(tmp_path / "none.toml", lambda t: t, lambda: 0.0)

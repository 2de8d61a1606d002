"""Cleanup by the watcher after the pipe closes."""

from __future__ import annotations

import signal

import pytest

from local.processes import watcher


@pytest.fixture
def sent(monkeypatch):
    """(group, signal) in the order sent; a group exits at its first real signal."""
    signals = []

    def killpg(group, number):
        exited = any(group == g for g, n in signals)
        if exited:
            raise ProcessLookupError
        if number:
            signals.append((group, number))

    monkeypatch.setattr(watcher.os, "killpg", killpg)  # type: ignore[attr-defined]
    return signals


def test_newest_group_gets_its_stop_signal_first(sent):
    watcher.watch([f"+ 11 {int(signal.SIGINT)}\n", f"+ 12 {int(signal.SIGTERM)}\n"])
    assert sent == [(12, signal.SIGTERM), (11, signal.SIGINT)]


def test_removed_groups_get_no_signal(sent):
    watcher.watch(["+ 11 15\n", "+ 12 15\n", "- 11\n", "- 99\n"])
    assert sent == [(12, 15)]


def test_malformed_lines_are_ignored(sent):
    watcher.watch(["+ 11 15\n", "nonsense\n", "\n"])
    assert sent == [(11, 15)]


def test_temporary_folders_are_deleted(sent, tmp_path):
    path = tmp_path / "with space"
    path.mkdir()
    (path / "socket").touch()
    watcher.watch([f"folder {path}\n", f"folder {tmp_path / 'never made'}\n"])
    assert not path.exists()

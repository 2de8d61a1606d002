"""Which groups and files are left to the watcher when the pipe closes."""

from __future__ import annotations

import signal

import pytest

from local.processes import watcher


@pytest.fixture
def sent(monkeypatch):
    """(group, signal) in the order sent; a group is gone after its first real signal."""
    signals = []

    def killpg(group, number):
        gone = any(group == g for g, n in signals)
        if gone:
            raise ProcessLookupError
        if number:
            signals.append((group, number))

    monkeypatch.setattr(watcher.os, "killpg", killpg)
    return signals


def test_what_began_last_is_asked_first_each_by_its_own_signal(sent):
    watcher.watch([f"+ 11 {int(signal.SIGINT)}\n", f"+ 12 {int(signal.SIGTERM)}\n"])
    assert sent == [(12, signal.SIGTERM), (11, signal.SIGINT)]


def test_what_has_ended_is_left_alone(sent):
    watcher.watch(["+ 11 15\n", "+ 12 15\n", "- 11\n", "- 99\n"])
    assert sent == [(12, 15)]


def test_a_line_cut_short_or_unknown_is_no_reason_to_stop(sent):
    watcher.watch(["+ 11 15\n", "nonsense\n", "\n"])
    assert sent == [(11, 15)]


def test_folders_of_temporary_files_are_removed(sent, tmp_path):
    path = tmp_path / "with space"
    path.mkdir()
    (path / "socket").touch()
    watcher.watch([f"folder {path}\n", f"folder {tmp_path / 'never made'}\n"])
    assert not path.exists()

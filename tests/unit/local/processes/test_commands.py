"""What remains of a failing command's output in a one-line error."""

from __future__ import annotations

from local.processes.commands import last_words


def test_the_last_lines_become_one():
    assert last_words("a\n\nb\n c \nd\n") == "b | c | d"


def test_a_full_disk_is_said_plainly():
    assert last_words("x\nwrite /x: no space left on device\n") == ("the disk is full; free some space and start again")


def test_silence_stays_empty():
    assert last_words("\n \n") == ""

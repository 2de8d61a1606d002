"""Summary of the output of a failed command."""

from __future__ import annotations

from local.processes.commands import last_lines


def test_last_three_lines_are_joined():
    assert last_lines("a\n\nb\n c \nd\n") == "b | c | d"


def test_full_disk_is_named():
    assert last_lines("x\nwrite /x: no space left on device\n") == ("the disk is full; free some space and start again")


def test_blank_output_is_empty():
    assert last_lines("\n \n") == ""

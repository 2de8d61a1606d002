"""Log follower: complete lines, each once, prefixed with the process name."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from local.processes.logs import LogFollower


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def printed(console):
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def poll(follower, folder):
    for file in sorted(folder.glob("*.log")):
        follower._print_new(file)


def test_only_new_lines_are_printed_once(tmp_path, console):
    (tmp_path / "rag.log").write_text("old\n")
    follower = LogFollower(tmp_path, console)
    with (tmp_path / "rag.log").open("a") as log:
        log.write("new\n")
    (tmp_path / "vision.log").write_text("first\n")
    poll(follower, tmp_path)
    poll(follower, tmp_path)
    assert printed(console) == ["rag | new", "vision | first"]


def test_incomplete_lines_wait_and_brackets_are_not_markup(tmp_path, console):
    follower = LogFollower(tmp_path, console)
    log = tmp_path / "rag.log"
    log.write_text("[red]ha")
    poll(follower, tmp_path)
    assert printed(console) == []
    log.write_text("[red]half\n")
    poll(follower, tmp_path)
    assert printed(console) == ["rag | [red]half"]

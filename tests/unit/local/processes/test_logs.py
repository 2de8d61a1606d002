"""Following logs: each line whole, under the name of who wrote it, once."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from local.processes.logs import LogFollower


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=200)


def printed(screen):
    return [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]


def look(follower, folder):
    for file in sorted(folder.glob("*.log")):
        follower._print_new(file)


def test_what_was_there_before_is_not_repeated_and_what_comes_is_printed_once(tmp_path, screen):
    (tmp_path / "rag.log").write_text("old\n")
    follower = LogFollower(tmp_path, screen)
    with (tmp_path / "rag.log").open("a") as log:
        log.write("new\n")
    (tmp_path / "vision.log").write_text("first\n")
    look(follower, tmp_path)
    look(follower, tmp_path)
    assert printed(screen) == ["rag | new", "vision | first"]


def test_a_line_is_printed_when_it_is_whole_and_its_brackets_are_no_markup(tmp_path, screen):
    follower = LogFollower(tmp_path, screen)
    log = tmp_path / "rag.log"
    log.write_text("[red]ha")
    look(follower, tmp_path)
    assert printed(screen) == []
    log.write_text("[red]half\n")
    look(follower, tmp_path)
    assert printed(screen) == ["rag | [red]half"]

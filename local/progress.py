"""How a step says where it is: one line of text, for a person."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing."""
    del line

"""Failures of the system that a person can mend say what to do."""

from __future__ import annotations

import errno

import pytest

from local.errors import LocalError, explained


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "cannot pack: the disk is full; free some space and start again"),
        (errno.EACCES, "cannot pack: no right to write /box; choose another folder with HOCKET_LOCAL_DATA_DIR"),
        (errno.EROFS, "cannot pack: no right to write /box; choose another folder with HOCKET_LOCAL_DATA_DIR"),
    ],
)
def test_the_advice_follows_the_cause(number, advice):
    with pytest.raises(LocalError) as caught, explained("cannot pack"):
        raise OSError(number, "system text", "/box")
    assert str(caught.value) == advice


def test_other_failures_keep_the_systems_words():
    with pytest.raises(LocalError, match=r"cannot pack: \[Errno 2\] No such file"), explained("cannot pack"):
        raise FileNotFoundError(errno.ENOENT, "No such file")

"""Conversion of OSError into errors with a fix."""

from __future__ import annotations

import errno

import pytest

from local.errors import LocalError, translate_os_errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "cannot start: the disk is full; free some space and start again"),
        (
            errno.EACCES,
            "cannot start: no permission to write /box; choose another folder with HOCKET_LOCAL_DATA_DIR",
        ),
        (
            errno.EROFS,
            "cannot start: no permission to write /box; choose another folder with HOCKET_LOCAL_DATA_DIR",
        ),
    ],
)
def test_message_contains_the_fix_for_each_errno(number, expected):
    with pytest.raises(LocalError) as caught, translate_os_errors("cannot start"):
        raise OSError(number, "system text", "/box")
    assert str(caught.value) == expected


def test_other_errors_keep_the_system_message():
    with (
        pytest.raises(LocalError, match=r"cannot start: \[Errno 2\] No such file"),
        translate_os_errors("cannot start"),
    ):
        raise FileNotFoundError(errno.ENOENT, "No such file")

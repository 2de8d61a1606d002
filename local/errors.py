"""Errors of `hocket-local`: one line that names the problem and its fix."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager


class LocalError(Exception):
    """The mesh cannot be set up or started; the message is shown to the user."""


@contextmanager
def translate_os_errors(action: str) -> Generator[None, None, None]:
    """Convert OSError into LocalError.

    Args:
        action: start of the message, for instance "cannot write /tmp/x".

    Raises:
        LocalError: The block raised OSError; a full disk and missing permissions get a fix in the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise LocalError(f"{action}: the disk is full; free some space and start again") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            path = f" to write {error.filename}" if error.filename else ""
            raise LocalError(
                f"{action}: no permission{path}; choose another folder with HOCKET_LOCAL_DATA_DIR"
            ) from error
        raise LocalError(f"{action}: {error}") from error

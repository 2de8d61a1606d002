"""What can go wrong on one's own machine; each message is one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager


class LocalError(Exception):
    """The mesh cannot be set up or started; the message is meant for the person at the terminal."""


@contextmanager
def explained(doing: str) -> Generator[None, None, None]:
    """Turn the OSErrors that a person can mend (full disk, missing rights) into a LocalError about `doing`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise LocalError(f"{doing}: the disk is full; free some space and start again") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            where = f" {error.filename}" if error.filename else ""
            raise LocalError(
                f"{doing}: no right to write{where}; choose another folder with HOCKET_LOCAL_DATA_DIR"
            ) from error
        raise LocalError(f"{doing}: {error}") from error

"""The data folder of one mesh: lock, secrets, logs, journals and the state of the running processes."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.errors import LocalError, translate_os_errors

_SECRET_NAMES = ("jwt", "redis", "postgres_admin", "postgres_owner", "postgres_app", "livekit")
_SECRET_BYTES = 20  # 40 hexadecimal characters, 160 bits


class DataFolder:
    """A data folder that one mesh at a time locks. It contains passwords, so only its owner can read it."""

    def __init__(self, path: Path) -> None:
        """Refer to the folder `path`; `open` creates it."""
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.journals = self.path / "journals"
        self._lock: int | None = None

    def open(self) -> Self:
        """Create the folder if needed, and lock it.

        Raises:
            LocalError: Another mesh runs in the folder, or it cannot be written.
        """
        with translate_os_errors(f"cannot use the data folder {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
            self.journals.mkdir(exist_ok=True)
            lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise LocalError(
                f"a mesh already runs in {self.path}; stop it with `make down`, or set HOCKET_LOCAL_DATA_DIR to another"
                " folder"
            ) from error
        self._lock = lock
        return self

    def is_locked(self) -> bool:
        """Return True if a mesh of this or another process has locked the folder."""
        try:
            with DataFolder(self.path).open():
                return False
        except LocalError:
            return True

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secrets(self) -> Mapping[str, str]:
        """Return name -> random password. They are created once and reused on every start."""
        file = self.path / "secrets.json"
        stored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in _SECRET_NAMES if name not in stored]
        if missing:
            stored |= {name: secrets.token_hex(_SECRET_BYTES) for name in missing}
            self.write_private("secrets.json", json.dumps(stored))
        return stored

    def write_private(self, name: str, text: str) -> Path:
        """Write a file atomically, with mode 0600.

        Args:
            name: path below the data folder.
            text: the content.

        Raises:
            LocalError: The file cannot be written.
        """
        path = self.path / name
        scratch = path.with_name(f".{path.name}.new")
        with translate_os_errors(f"cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.unlink(missing_ok=True)
            with os.fdopen(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            scratch.replace(path)
        return path

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Record the running mesh, for `status`, `down` and the removal of orphans at the next start."""
        self.write_private("state.json", json.dumps(state, indent=2))

    def read_state(self) -> dict[str, Any]:
        """Return the state of the running mesh, or of one that was killed; empty after an orderly stop."""
        file = self.path / "state.json"
        try:
            return dict(json.loads(file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def clear_state(self) -> None:
        """Delete the state after an orderly stop."""
        (self.path / "state.json").unlink(missing_ok=True)

    def recreate(self, name: str) -> Path:
        """Delete the folder `name` below this one and create it empty."""
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)
        with translate_os_errors(f"cannot create {path}"):
            path.mkdir(parents=True)
        return path

    def __enter__(self) -> Self:
        """Return self: `with DataFolder(path).open() as folder`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock the folder."""
        self.close()

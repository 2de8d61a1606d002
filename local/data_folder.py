"""The folder of one mesh: its lock, its secrets, its logs, and what it says of itself while it runs."""

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

from local.errors import LocalError, explained

_SECRET_NAMES = ("jwt", "redis", "postgres_admin", "postgres_owner", "postgres_app", "livekit")
_SECRET_BYTES = 20  # 40 hexadecimal characters, 160 bits


class DataFolder:
    """A folder that one mesh at a time holds. Everything in it is private to the user: it holds passwords."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made before `open`."""
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.journals = self.path / "journals"
        self._lock: int | None = None

    def open(self) -> Self:
        """Make the folder and hold it. Raises LocalError when another mesh runs in it or it cannot be written."""
        with explained(f"cannot use the data folder {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
            self.journals.mkdir(exist_ok=True)
            lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise LocalError(
                f"a mesh already runs in {self.path}; `make down` ends it, or choose another HOCKET_LOCAL_DATA_DIR"
            ) from error
        self._lock = lock
        return self

    def is_held(self) -> bool:
        """Whether a mesh, of this process or another, holds the folder now."""
        try:
            with DataFolder(self.path).open():
                return False
        except LocalError:
            return True

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secrets(self) -> Mapping[str, str]:
        """Random passwords of this folder's servers, the same on every start."""
        file = self.path / "secrets.json"
        held: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in _SECRET_NAMES if name not in held]
        if missing:
            held |= {name: secrets.token_hex(_SECRET_BYTES) for name in missing}
            self.write_private("secrets.json", json.dumps(held))
        return held

    def write_private(self, name: str, text: str) -> Path:
        """Write a file that only this user reads, whole or not at all."""
        path = self.path / name
        scratch = path.with_name(f".{path.name}.new")
        with explained(f"cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.unlink(missing_ok=True)
            with os.fdopen(os.open(scratch, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            scratch.replace(path)
        return path

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Say what runs here, for `status`, `down` and the clean-up of a later start."""
        self.write_private("state.json", json.dumps(state, indent=2))

    def state(self) -> dict[str, Any]:
        """What the running mesh, or the last one that was killed, said of itself; empty after an orderly end."""
        file = self.path / "state.json"
        try:
            return dict(json.loads(file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def forget_state(self) -> None:
        """Nothing runs here any more."""
        (self.path / "state.json").unlink(missing_ok=True)

    def fresh(self, name: str) -> Path:
        """An empty folder below this one."""
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)
        with explained(f"cannot make {path}"):
            path.mkdir(parents=True)
        return path

    def __enter__(self) -> Self:
        """Use as `with DataFolder(path).open() as folder`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

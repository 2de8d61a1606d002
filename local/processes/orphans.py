"""Stop processes that remain of a mesh whose supervisor and watcher were both killed.

A process is identified by id and creation time, because the system reuses ids.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from local.data_folder import DataFolder

SCRATCH_PREFIX = "hocket-"
_GRACE_S = 5.0
_POLL_S = 0.05


def process_records(pids: Mapping[str, int]) -> Sequence[Mapping[str, object]]:
    """Return name, id and creation time of each running process.

    Args:
        pids: name -> process id.
    """
    described: list[Mapping[str, object]] = []
    for name, pid in pids.items():
        with suppress(psutil.Error):
            described.append({"name": name, "pid": pid, "created_at_s": psutil.Process(pid).create_time()})
    return described


def created_at_s(record: Mapping[str, Any]) -> float | None:
    """Return the creation time in a process record, in Unix seconds; None if it has none.

    A mesh that was started before an upgrade of the clone wrote the key `born_at_s`.
    """
    created: float | None = record.get("created_at_s", record.get("born_at_s"))
    return created


async def end_orphans(folder: DataFolder) -> list[str]:
    """Stop the processes that the last mesh of this folder left running, and delete its temporary folder.

    Args:
        folder: the data folder, locked by the caller.

    Returns:
        Names of the processes that were still running.
    """
    left = [p for p in _processes(folder.read_state()) if _is_alive(p)]
    for process in left:
        _send(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            while any(_is_alive(p) for p in left):  # noqa: ASYNC110 - no event exists for a process that is not our child
                await asyncio.sleep(_POLL_S)
    for process in left:
        if _is_alive(process):
            _send(process, signal.SIGKILL)
    scratch = Path(folder.read_state().get("scratch", ""))
    if scratch.name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
    folder.clear_state()
    return [str(p["name"]) for p in left]


def process_names(state: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the processes in a data folder's state."""
    return [str(process["name"]) for process in _processes(state)]


def _processes(state: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [p for p in state.get("processes", ()) if {"name", "pid"} <= p.keys() and created_at_s(p) is not None]


def _is_alive(process: Mapping[str, Any]) -> bool:
    try:
        found = psutil.Process(int(process["pid"]))
        return found.create_time() == created_at_s(process) and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _send(process: Mapping[str, Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(int(process["pid"]), number)

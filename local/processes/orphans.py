"""What a mesh left when even its watcher was killed: found by process id and birth, so that no stranger is ended."""

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


def describe(pids: Mapping[str, int]) -> Sequence[Mapping[str, object]]:
    """Processes with what tells them from later ones of the same id."""
    described: list[Mapping[str, object]] = []
    for name, pid in pids.items():
        with suppress(psutil.Error):
            described.append({"name": name, "pid": pid, "born_at_s": psutil.Process(pid).create_time()})
    return described


async def clear(folder: DataFolder) -> list[str]:
    """End what the last mesh of this folder left running; the folder must be held. Returns the names."""
    left = [p for p in _processes(folder.state()) if _is_alive(p)]
    for process in left:
        _send(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            while any(_is_alive(p) for p in left):  # noqa: ASYNC110 - no event tells of a stranger's child
                await asyncio.sleep(_POLL_S)
    for process in left:
        if _is_alive(process):
            _send(process, signal.SIGKILL)
    scratch = Path(folder.state().get("scratch", ""))
    if scratch.name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
    folder.forget_state()
    return [str(p["name"]) for p in left]


def names(state: Mapping[str, Any]) -> Sequence[str]:
    """Names of the processes in a folder's state."""
    return [str(process["name"]) for process in _processes(state)]


def _processes(state: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [p for p in state.get("processes", ()) if {"name", "pid", "born_at_s"} <= p.keys()]


def _is_alive(process: Mapping[str, Any]) -> bool:
    try:
        found = psutil.Process(int(process["pid"]))
        return found.create_time() == process["born_at_s"] and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _send(process: Mapping[str, Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(int(process["pid"]), number)

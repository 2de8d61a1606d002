"""CPU time, private memory and gRPC bytes of the processes of a running mesh."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

_SS_BYTES = re.compile(r"bytes_(?:sent|received):(\d+)")
_SS_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process and its descendants used until now.

    Attributes:
        cpu_s: CPU seconds, user and system, of the processes that run.
        private_bytes: bytes that no other process shares (USS).
        grpc_bytes: bytes sent and received on open connections to its gRPC port; 0 where `ss` is not installed.
    """

    cpu_s: float
    private_bytes: int
    grpc_bytes: int

    def since(self, earlier: Self) -> Usage:
        """Return the difference to `earlier`."""
        return Usage(
            self.cpu_s - earlier.cpu_s,
            self.private_bytes - earlier.private_bytes,
            self.grpc_bytes - earlier.grpc_bytes,
        )

    def share(self, parts: int) -> Usage:
        """Return one of `parts` equal parts."""
        return Usage(self.cpu_s / parts, self.private_bytes // parts, self.grpc_bytes // parts)


def read_usage(pid: int, grpc_port: int | None) -> Usage:
    """Return the usage of the process `pid` with its descendants.

    Args:
        pid: process id.
        grpc_port: port that it serves on loopback; None for a process without gRPC.
    """
    cpu_s, private_bytes = 0.0, 0
    for process in _tree(pid):
        # A process that ends meanwhile has nothing more to add.
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            times = process.cpu_times()
            cpu_s += times.user + times.system
            private_bytes += process.memory_full_info().uss
    return Usage(cpu_s, private_bytes, _connection_bytes(grpc_port) if grpc_port else 0)


def _tree(pid: int) -> Sequence[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _connection_bytes(port: int) -> int:
    """Return the bytes of all open TCP connections to `port`, counted at the client's end."""
    command = shutil.which("ss")
    if command is None:
        return 0
    listed = subprocess.run(
        [command, "-tinH", "state", "established", f"dport = :{port}"],
        capture_output=True,
        text=True,
        timeout=_SS_TIMEOUT_S,
        check=False,
    )
    return sum(int(found) for found in _SS_BYTES.findall(listed.stdout))

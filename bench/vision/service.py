"""The vision service as a process of its own, on a free loopback port, ended by its own process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request


class ServiceProcess:
    """`hocket-vision`, ready when constructed."""

    def __init__(self, **settings: str) -> None:
        self.grpc_port, self.ops_port = _free_port(), _free_port()
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "HOCKET_VISION_GRPC_PORT": str(self.grpc_port),
            "HOCKET_VISION_OPS_PORT": str(self.ops_port),
            "HOCKET_VISION_LOG_LEVEL": "WARNING",
            **{f"HOCKET_VISION_{name.upper()}": value for name, value in settings.items()},
        }
        self._process = subprocess.Popen([sys.executable, "-m", "services.vision"], env=environment)
        self._await_ready()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far (Linux)."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory now (Linux)."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - a pseudo file
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)

    def _await_ready(self) -> None:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the vision service did not become ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

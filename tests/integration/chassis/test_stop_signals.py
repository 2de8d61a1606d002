"""SIGTERM at any time of a service's life, as an ordinary process and as PID 1 of a container.

PID 1 differs: the kernel drops its signals as long as it has no handler for them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.waiting import POLL_S, START_S, until
from tests.fakes.watched import free_port

SERVICES = ("llm_router", "media_gateway", "rag", "ratelimit", "speech", "vision")
# Seconds from the first handler to the signal: the imports, the wiring, or already serving, depending on the machine.
DELAYS_S = (0.0, 0.3, 1.0)
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@functools.cache
def as_pid_1() -> tuple[str, ...]:
    """Return the command that makes its argument PID 1, or nothing where that needs more rights."""
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        return ()
    return UNSHARE


class Running:
    """The process of a service, perhaps below `unshare`."""

    def __init__(self, process: asyncio.subprocess.Process, ops_port: int, *, below_unshare: bool) -> None:
        self._process = process
        self._ops = f"http://127.0.0.1:{ops_port}/livez"
        self._below_unshare = below_unshare

    def pid(self) -> int:
        """Return the id of the service's process; 0 before `unshare` has forked."""
        if not self._below_unshare:
            return self._process.pid
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return int(children.split()[0]) if children.strip() else 0

    def catches_sigterm(self) -> bool:
        """Return whether the process has a handler for SIGTERM; fail if it has ended."""
        assert self._process.returncode is None
        pid = self.pid()
        status = Path(f"/proc/{pid}/status").read_text() if pid else ""
        found = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
        return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)

    def serves(self) -> bool:
        """Return whether /livez answers; fail if the process has ended."""
        assert self._process.returncode is None
        try:
            with urllib.request.urlopen(self._ops, timeout=START_S) as response:  # noqa: S310 - http on loopback
                return bool(json.load(response)["live"])
        except (urllib.error.URLError, ConnectionError):
            return False

    async def stop(self) -> tuple[int, str]:
        """Send SIGTERM; return the exit status and the error output."""
        os.kill(self.pid(), signal.SIGTERM)
        async with asyncio.timeout(START_S):
            _, errors = await self._process.communicate()
        return int(self._process.returncode or 0), errors.decode()


@asynccontextmanager
async def running(noun: str, wrapper: tuple[str, ...]) -> AsyncIterator[Running]:
    ops_port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOCKET_")}
    environment |= {f"HOCKET_{noun.upper()}_OPS_PORT": str(ops_port), f"HOCKET_{noun.upper()}_LOG_LEVEL": "ERROR"}
    command = [*wrapper, sys.executable, "-m", f"services.{noun}"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    service = Running(process, ops_port, below_unshare=bool(wrapper))
    try:
        await until(service.catches_sigterm, START_S)
        yield service
    finally:
        if process.returncode is None:
            # --kill-child ends what runs below `unshare`.
            process.kill()
            await process.wait()


@pytest.mark.parametrize("noun", SERVICES)
async def test_sigterm_during_the_start_ends_the_process_in_order(noun):
    for delay_s in DELAYS_S:
        async with running(noun, as_pid_1()) as service:
            await asyncio.sleep(delay_s)
            assert await service.stop() == (0, "")


@pytest.mark.parametrize("noun", SERVICES)
async def test_sigterm_ends_a_serving_process_in_order(noun):
    async with running(noun, as_pid_1()) as service:
        async with asyncio.timeout(START_S):
            while not service.serves():  # noqa: ASYNC110 - another process
                await asyncio.sleep(10 * POLL_S)
        assert (await service.stop())[0] == 0


async def test_sigterm_to_an_ordinary_process_during_its_imports_ends_it_in_order():
    async with running("rag", ()) as service:
        assert await service.stop() == (0, "")

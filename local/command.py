"""What each subcommand of `hocket-local` does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import psutil
from rich.console import Console

from hocket.chassis.auth import TokenMinter
from local.data_folder import DataFolder
from local.demo import script
from local.demo.backend import Address, serving_backend
from local.demo.environment import BACKEND_VARIABLE, Clients, ingest, our_documents
from local.embedded import livekit_binary, postgres, redis
from local.endpoints import describe, exports
from local.errors import LocalError
from local.mesh import SERVICES, Mesh
from local.processes import orphans
from local.processes.logs import LogFollower
from local.settings import Settings
from local.terminal import Steps

_POLL_S = 0.1
_UP_TIMEOUT_S = 7200  # a first start may build livekit-server on a slow machine
_DOWN_TIMEOUT_S = 300

console = Console(soft_wrap=True)


async def set_up() -> None:
    """Fetch or build what the mesh needs beyond Python packages."""
    with Steps(console, "Setting up the servers of the mesh") as steps:
        steps.say(f"Redis: {redis.server_binary()}")
        steps.say(f"Postgres: {postgres.binaries() / 'postgres'}")
        steps.say(f"LiveKit: {await livekit_binary.find_or_build(steps.say)}")


async def up(settings: Settings, only: Sequence[str] | None, *, with_logs: bool) -> None:
    """Run the mesh until Ctrl-C or SIGTERM; the whole of it with an example tenant to talk to."""
    async with AsyncExitStack() as stack:
        # Left after the steps: what they say of an end belongs to the terminal as well.
        stack.callback(console.print, "Stopped the mesh")
        with Steps(console, "Starting the mesh") as steps:
            mesh = await _start(settings, only, stack, steps)
        _print_endpoints(settings)
        console.print("\nRunning; Ctrl-C ends it. Logs: " + str(mesh.data_dir / "logs"))
        await (LogFollower(mesh.data_dir / "logs", console).follow() if with_logs else asyncio.Event().wait())


async def _start(settings: Settings, only: Sequence[str] | None, stack: AsyncExitStack, steps: Steps) -> Mesh:
    wanted = only or SERVICES
    env: dict[str, dict[str, str]] = {}
    address = None if only or os.environ.get(BACKEND_VARIABLE) else stack.enter_context(Address.claim())
    if address:
        env = {"media_gateway": {BACKEND_VARIABLE: address.url}}
    starting = Mesh.start(settings.data_dir, services=wanted, port_base=settings.port_base, env=env, progress=steps.say)
    mesh = await stack.enter_async_context(starting)
    if address:
        await stack.enter_async_context(serving_backend(address, settings.data_dir))
        clients = Clients(mesh.targets, mesh.minter, script.TENANT)
        stack.push_async_callback(clients.close)
        passages = await ingest(clients.rag, our_documents())
        steps.say(f"the tenant {script.TENANT} has a handbook of {passages} passages and a backend at {address.url}")
    return mesh


def up_detached(settings: Settings, only: Sequence[str] | None) -> None:
    """Start the mesh in a process of its own and return when it is ready."""
    folder = DataFolder(settings.data_dir)
    if folder.is_held():
        raise LocalError(f"a mesh already runs in {folder.path}; `make down` ends it")
    folder.forget_state()
    arguments = (sys.executable, "-m", "local", "up", *(("--only", *only) if only else ()))
    with Steps(console, f"Starting the mesh in the background (log: {folder.logs / 'up.log'})") as steps:
        with (folder.logs / "up.log").open("wb") as log:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _follow_start(folder, process, steps)
        except BaseException:
            # Ctrl-C here means: do not start.
            process.terminate()
            raise
    _print_endpoints(settings)
    console.print("\nRunning in the background; `make down` ends it.")


def _follow_start(folder: DataFolder, process: subprocess.Popen[bytes], steps: Steps) -> None:
    deadline = time.monotonic() + _UP_TIMEOUT_S
    seen: set[str] = set()
    while not folder.state().get("ready"):
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            process.kill()
            words = (folder.logs / "up.log").read_text(errors="replace").strip().splitlines()
            raise LocalError(words[-1].removeprefix("hocket-local: ") if words else f"ended with code {code}")
        for name in orphans.names(folder.state()):
            if name not in seen:
                seen.add(name)
                steps.say(f"{name} started")
        time.sleep(_POLL_S)


def down(settings: Settings) -> None:
    """End the mesh of the data folder, wherever it was started."""
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_held():
        console.print(f"No mesh runs in {folder.path}")
        return
    owner = _owner(folder.state())
    with suppress(psutil.Error):
        owner.terminate()
        owner.wait(_DOWN_TIMEOUT_S)
    if folder.is_held():
        # Its watcher ends the processes.
        owner.kill()
    console.print("The mesh has ended")


def kill_service(settings: Settings, name: str) -> None:
    """SIGKILL one process, as a crash would be; the running mesh starts it again."""
    folder = DataFolder(settings.data_dir)
    state = folder.state() if folder.path.exists() and folder.is_held() else {}
    pids = {process["name"]: int(process["pid"]) for process in state.get("processes", ())}
    if name not in pids:
        raise LocalError(f"no process {name!r} runs; there are {', '.join(pids) or 'none: `make up` first'}")
    with suppress(ProcessLookupError):
        os.killpg(pids[name], signal.SIGKILL)
    console.print(f"{name} (process {pids[name]}) was killed; the mesh starts it again")


def status(settings: Settings) -> None:
    """Print what runs and how to reach it. Raises LocalError when nothing runs."""
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_held():
        raise LocalError(f"no mesh runs in {folder.path}; `make up` starts one")
    _print_endpoints(settings)


def env(settings: Settings) -> None:
    """Print shell commands that set a token and the address of each service. Raises LocalError when nothing runs."""
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_held():
        raise LocalError(f"no mesh runs in {folder.path}; `make up` starts one")
    console.print(exports(folder.state(), _token(settings)), highlight=False, markup=False)


def _print_endpoints(settings: Settings) -> None:
    state = DataFolder(settings.data_dir).state()
    console.print("\n" + describe(state, _token(settings)), highlight=False, markup=False)


def _token(settings: Settings) -> str:
    secret = DataFolder(settings.data_dir).secrets()["jwt"]
    return TokenMinter(secret).mint(settings.tenant_id, caller="terminal")


def _owner(state: dict[str, Any]) -> psutil.Process:
    try:
        found = psutil.Process(int(state["pid"]))
        if found.create_time() == state["born_at_s"]:
            return found
    except (KeyError, psutil.Error):
        pass
    raise LocalError("the mesh is just starting or stopping; try again in a moment")

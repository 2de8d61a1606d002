"""Implementation of the subcommands of `hocket-local`, except `demo`."""

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
from local.demo.backend import BackendSocket, serve_backend
from local.demo.clients import TenantClients
from local.demo.environment import BACKEND_VARIABLE
from local.demo.knowledge import demo_documents, ingest
from local.embedded import livekit_binary, postgres, redis
from local.endpoints import format_endpoints, shell_exports
from local.errors import LocalError
from local.mesh import SERVICES, Mesh
from local.processes import orphans
from local.processes.logs import LogFollower
from local.settings import Settings
from local.terminal import ProgressPrinter

_POLL_S = 0.1
_UP_TIMEOUT_S = 7200  # a first start can build livekit-server on a slow machine
_DOWN_TIMEOUT_S = 300

console = Console(soft_wrap=True)


async def set_up() -> None:
    """Find or build Redis, Postgres and LiveKit."""
    with ProgressPrinter(console, "Finding Redis, Postgres and LiveKit") as printer:
        printer.report(f"Redis: {redis.server_binary()}")
        printer.report(f"Postgres: {postgres.binaries() / 'postgres'}")
        printer.report(f"LiveKit: {await livekit_binary.find_or_build(printer.report)}")


async def up(settings: Settings, only: Sequence[str] | None, *, with_logs: bool) -> None:
    """Run the mesh until Ctrl-C or SIGTERM.

    Args:
        settings: data folder, ports and tenant.
        only: services to start; None for all of them with the example backend and knowledge.
        with_logs: print the logs of all processes.
    """
    async with AsyncExitStack() as stack:
        # Registered first, so that it runs after every process has stopped.
        stack.callback(console.print, "Stopped the mesh")
        with ProgressPrinter(console, "Starting the mesh") as printer:
            mesh = await _start(settings, only, stack, printer)
        _print_endpoints(settings)
        console.print("\nThe mesh runs; stop it with Ctrl-C. Logs: " + str(mesh.data_dir / "logs"))
        await (LogFollower(mesh.data_dir / "logs", console).follow() if with_logs else asyncio.Event().wait())


async def _start(
    settings: Settings, only: Sequence[str] | None, stack: AsyncExitStack, printer: ProgressPrinter
) -> Mesh:
    env: dict[str, dict[str, str]] = {}
    backend = None if only or os.environ.get(BACKEND_VARIABLE) else stack.enter_context(BackendSocket.bind())
    if backend:
        env = {"media_gateway": {BACKEND_VARIABLE: backend.url}}
    mesh = await stack.enter_async_context(
        Mesh.start(
            settings.data_dir,
            services=only or SERVICES,
            port_base=settings.port_base,
            env=env,
            progress=printer.report,
        )
    )
    if backend:
        await stack.enter_async_context(serve_backend(backend, settings.data_dir))
        clients = TenantClients(mesh.targets, mesh.minter, script.TENANT)
        stack.push_async_callback(clients.close)
        passages = await ingest(clients.rag, demo_documents())
        printer.report(f"tenant {script.TENANT}: loaded {passages} passages of knowledge; backend at {backend.url}")
    return mesh


def up_detached(settings: Settings, only: Sequence[str] | None) -> None:
    """Start the mesh in a background process and return when it is ready.

    Args:
        settings: data folder, ports and tenant.
        only: services to start; None for all.

    Raises:
        LocalError: A mesh already runs in the data folder, or this one cannot start.
    """
    folder = DataFolder(settings.data_dir)
    if folder.is_locked():
        raise LocalError(f"a mesh already runs in {folder.path}; stop it with `make down`")
    folder.clear_state()
    arguments = (sys.executable, "-m", "local", "up", *(("--only", *only) if only else ()))
    with ProgressPrinter(console, f"Starting the mesh in the background (log: {folder.logs / 'up.log'})") as printer:
        with (folder.logs / "up.log").open("wb") as log:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _follow_start(folder, process, printer)
        except BaseException:
            # Ctrl-C during the start also stops the background process.
            process.terminate()
            raise
    _print_endpoints(settings)
    console.print("\nThe mesh runs in the background; stop it with `make down`.")


def _follow_start(folder: DataFolder, process: subprocess.Popen[bytes], printer: ProgressPrinter) -> None:
    deadline = time.monotonic() + _UP_TIMEOUT_S
    seen: set[str] = set()
    while not folder.read_state().get("ready"):
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            process.kill()
            lines = (folder.logs / "up.log").read_text(errors="replace").strip().splitlines()
            raise LocalError(lines[-1].removeprefix("hocket-local: ") if lines else f"the mesh exited with code {code}")
        for name in orphans.process_names(folder.read_state()):
            if name not in seen:
                seen.add(name)
                printer.report(f"{name} started")
        time.sleep(_POLL_S)


def down(settings: Settings) -> None:
    """Stop the mesh of the data folder, from any terminal."""
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_locked():
        console.print(f"No mesh runs in {folder.path}")
        return
    owner = _owner(folder.read_state())
    with suppress(psutil.Error):
        owner.terminate()
        owner.wait(_DOWN_TIMEOUT_S)
    if folder.is_locked():
        # The watcher stops its processes.
        owner.kill()
    console.print("Stopped the mesh")


def kill_service(settings: Settings, name: str) -> None:
    """SIGKILL one process; the running mesh restarts it, as after a crash.

    Raises:
        LocalError: No process has this name.
    """
    folder = DataFolder(settings.data_dir)
    state = folder.read_state() if folder.path.exists() and folder.is_locked() else {}
    pids = {process["name"]: int(process["pid"]) for process in state.get("processes", ())}
    if name not in pids:
        raise LocalError(
            f"no process {name!r} runs; "
            + (f"choose one of {', '.join(pids)}" if pids else "start the mesh with `make up` first")
        )
    with suppress(ProcessLookupError):
        os.killpg(pids[name], signal.SIGKILL)
    console.print(f"killed {name} (process {pids[name]}); the mesh restarts it")


def status(settings: Settings) -> None:
    """Print the running processes, endpoints and a token.

    Raises:
        LocalError: No mesh runs in the data folder.
    """
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_locked():
        raise LocalError(f"no mesh runs in {folder.path}; start one with `make up`")
    _print_endpoints(settings)


def env(settings: Settings) -> None:
    """Print shell commands that set a token and the address of each service.

    Raises:
        LocalError: No mesh runs in the data folder.
    """
    folder = DataFolder(settings.data_dir)
    if not folder.path.exists() or not folder.is_locked():
        raise LocalError(f"no mesh runs in {folder.path}; start one with `make up`")
    console.print(shell_exports(folder.read_state(), _token(settings)), highlight=False, markup=False)


def _print_endpoints(settings: Settings) -> None:
    state = DataFolder(settings.data_dir).read_state()
    console.print("\n" + format_endpoints(state, _token(settings)), highlight=False, markup=False)


def _token(settings: Settings) -> str:
    secret = DataFolder(settings.data_dir).secrets()["jwt"]
    return TokenMinter(secret).mint(settings.tenant_id, caller="terminal")


def _owner(state: dict[str, Any]) -> psutil.Process:
    try:
        found = psutil.Process(int(state["pid"]))
        if found.create_time() == orphans.created_at_s(state):
            return found
    except (KeyError, psutil.Error):
        pass
    raise LocalError("the mesh is starting or stopping; try again in a few seconds")

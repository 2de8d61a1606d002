"""Command line of a service: --help lists the settings, --check-config validates them, otherwise it serves."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TypeVar, cast

import structlog
from pydantic import ValidationError

from hocket.chassis import telemetry
from hocket.chassis.errors import MeshError
from hocket.chassis.server import Assembly, MeshServer
from hocket.chassis.settings import ServerSettings, unknown_variables, unread_variables, variables
from hocket.chassis.stop_signals import STOP_SIGNALS

_log = structlog.get_logger()
S = TypeVar("S", bound=ServerSettings)


def run(
    noun: str,
    description: str,
    settings_type: type[S],
    build: Callable[[S, AsyncExitStack], Awaitable[Assembly]],
) -> None:
    """Run the command `hocket-<noun>` until SIGTERM or SIGINT.

    Args:
        noun: Name of the service, for instance "llm_router".
        description: First line of --help.
        settings_type: Settings class of the service.
        build: Wires the service; pushes each resource that needs closing on the stack.

    Raises:
        SystemExit: The settings are wrong, a port is taken, or `build` failed; the message states the cause.
    """
    command = f"hocket-{noun.replace('_', '-')}"
    parser = argparse.ArgumentParser(
        prog=command,
        description=description,
        epilog=_settings_help(settings_type),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check-config", action="store_true", help="validate the settings and exit")
    parser.add_argument("--version", action="version", version=f"{command} {version('hocket')}")
    arguments = parser.parse_args()
    settings = read_settings(command, settings_type)
    if arguments.check_config:
        from hocket.chassis.file_checks import file_problems

        problems = file_problems(settings)
        if problems:
            sys.exit(f"{command}: wrong settings\n  " + "\n  ".join(problems))
        print(f"{command}: the settings are valid")
        return
    telemetry.set_up(
        command,
        level=settings.log_level,
        log_content=settings.log_content,
        otlp_endpoint=settings.otlp_endpoint,
    )
    for name in unread_variables(settings_type):
        _log.warning("setting of a sub-command: not read here; give this secret to its job only", setting=name)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(noun, settings, build))
    except (OSError, MeshError) as error:
        sys.exit(f"{command}: {error}")
    finally:
        telemetry.end_export()


def read_settings(command: str, settings_type: type[S]) -> S:
    """Return the settings from the environment; exit with one line per wrong or unknown variable."""
    prefix = str(settings_type.model_config.get("env_prefix", "")).upper()
    try:
        settings = settings_type()
    except ValidationError as error:
        lines = [
            f"  {prefix}{'_'.join(str(part) for part in e['loc']).upper() or '*'}: {e['msg']}" for e in error.errors()
        ]
        sys.exit(f"{command}: wrong settings\n" + "\n".join(lines))
    except ValueError as error:
        sys.exit(f"{command}: wrong settings\n  {error}")
    unknown = unknown_variables(settings_type)
    if unknown:
        sys.exit(f"{command}: unknown settings (misspelled?)\n  " + "\n  ".join(unknown))
    return settings


async def _serve(noun: str, settings: S, build: Callable[[S, AsyncExitStack], Awaitable[Assembly]]) -> None:
    stop = _Stop()
    try:
        async with AsyncExitStack() as resources:
            server = MeshServer(noun, settings, await build(settings, resources))
            await server.start()
            # Objects loaded by now stay for good. Without freeze each full collection walks them and stops every
            # stream: 177 ms with the vendor SDKs of llm_router.
            gc.collect()
            gc.freeze()
            stop.when_serving(server.request_stop)
            await server.run()
    except asyncio.CancelledError:
        if not stop.requested:
            raise
        _log.info("stopped during the start")


class _Stop:
    """Stop requests of SIGTERM and SIGINT: the start is cancelled and closes its resources; a server drains."""

    def __init__(self) -> None:
        """Handle the signals from now on, in the running loop."""
        self.requested = False
        self._act: Callable[[], object] = cast("asyncio.Task[None]", asyncio.current_task()).cancel
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._request)

    def when_serving(self, request_stop: Callable[[], None]) -> None:
        """Call `request_stop` from now on; at once if a cancelled start has been completed all the same."""
        self._act = request_stop
        if self.requested:
            request_stop()

    def _request(self) -> None:
        # A second signal must not cancel the closing of resources.
        if not self.requested:
            self.requested = True
            self._act()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _settings_help(settings_type: type[ServerSettings]) -> str:
    rows = ["environment variables (secrets also as <NAME>_FILE):"]
    for name, field in variables(settings_type):
        default = "" if field.default is None else f" [{field.default}]"
        rows.append(f"  {name}{default}\n      {field.description}")
    return "\n".join(rows)

"""Run the whole hocket mesh on this machine."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from pydantic import ValidationError

from local import command
from local.errors import LocalError
from local.settings import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; errors that the user can fix are one line on standard error.

    Args:
        arguments: the command line without the program name; None for `sys.argv`.
    """
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.subcommand != "demo":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        _dispatch(chosen, rest)
    except LocalError as error:
        sys.exit(f"hocket-local: {error}")
    except ValidationError as error:
        first = error.errors()[0]
        sys.exit(f"hocket-local: HOCKET_LOCAL_{str(first['loc'][0]).upper()}: {first['msg']}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


def _dispatch(chosen: argparse.Namespace, rest: Sequence[str]) -> None:
    settings = Settings()
    match chosen.subcommand:
        case "setup":
            _run(command.set_up())
        case "up" if chosen.detach:
            command.up_detached(settings, chosen.only)
        case "up":
            _run(command.up(settings, chosen.only, with_logs=chosen.logs))
        case "down":
            command.down(settings)
        case "status":
            command.status(settings)
        case "env":
            command.env(settings)
        case "kill-service":
            command.kill_service(settings, chosen.name)
        case _:
            from local.demo import command as demo  # noqa: PLC0415 - only the demo needs the LiveKit client, which loads slowly

            demo.main(list(rest))


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until SIGTERM, SIGHUP or Ctrl-C; then stop everything in order."""

    async def until_signal() -> None:
        task = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if task is not None:
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await coroutine

    asyncio.run(until_signal())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hocket-local", description=__doc__)
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    commands.add_parser("setup", help="find or build Redis, Postgres and LiveKit")
    up = commands.add_parser("up", help="start the mesh and print its endpoints and a token")
    up.add_argument(
        "--detach", action="store_true", help="return when the mesh is ready; it continues in the background"
    )
    up.add_argument("--only", metavar="SERVICE", nargs="+", help="start only these services and their servers")
    up.add_argument("--logs", action="store_true", help="print the logs of all processes")
    commands.add_parser("down", help="stop the mesh")
    commands.add_parser("status", help="print the running processes, endpoints and a token")
    commands.add_parser("env", help="print shell commands that set TOKEN and the address of each service")
    kill = commands.add_parser("kill-service", help="kill one process; the mesh restarts it")
    kill.add_argument("name", metavar="NAME", help="a service or server, for instance rag or redis")
    commands.add_parser("demo", help="run the demo conversation (see `demo --help`)", add_help=False)
    return parser


if __name__ == "__main__":
    main()

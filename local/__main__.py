"""The command `hocket-local`: the whole mesh on one machine."""

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
    """Be the command. Everything that a person can mend ends it with one line on standard error."""
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
            from local.demo import command as demo  # noqa: PLC0415 - LiveKit's client and its audio libraries load for the demo alone

            demo.main(list(rest))


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end or to the first signal that asks us to stop; then stop in order."""

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
    commands.add_parser("setup", help="find or build the servers that the mesh stands on")
    up = commands.add_parser("up", help="start the mesh and print every endpoint with a token to try")
    up.add_argument("--detach", action="store_true", help="return when the mesh is ready and leave it running")
    up.add_argument("--only", metavar="SERVICE", nargs="+", help="these services alone, and what they stand on")
    up.add_argument("--logs", action="store_true", help="print the logs of all processes")
    commands.add_parser("down", help="end the mesh that `up` started")
    commands.add_parser("status", help="print what runs and how to reach it")
    commands.add_parser("env", help="print shell commands that set TOKEN and the address of each service")
    kill = commands.add_parser("kill-service", help="kill one process, to see the others carry on")
    kill.add_argument("name", metavar="NAME", help="a service or server, for instance rag or redis")
    commands.add_parser("demo", help="hold a conversation with the mesh (see `demo --help`)", add_help=False)
    return parser


if __name__ == "__main__":
    main()

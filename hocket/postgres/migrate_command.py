"""The sub-command `migrate` of a service: brings its schema to the version that this build needs."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, cast

from pydantic import ValidationError

from hocket.chassis.errors import FailedPrecondition, MeshError
from hocket.chassis.settings import MigrationSettings
from hocket.postgres.migrations import IncompatibleSchema, MigrationOptions, migrate, schema_state
from hocket.postgres.postgres_problem import shown_url

FAILED, USAGE, PENDING, INCOMPATIBLE, TEMPORARY = 1, 2, 3, 4, 75
_DESCRIPTION = """\
Bring the schema {schema} to the version that this build needs. Each file is applied in one transaction, so that an
interrupted migration leaves a whole version. Two migrations at once run one after the other.
"""
_EPILOG = """\
environment:
  {setting} (or {setting}_FILE)
      URL of the role that owns the schema, at the primary and not at a pooler. Servers never need it.

exit codes:
  0  the schema is at the needed version, or at a newer one that accepts this build
  1  the database refuses, or a file fails: the message contains the fix
  2  wrong arguments, or the setting is missing or malformed
  3  --check: migrations are pending
  4  the schema is newer and refuses this build, or comes from another branch
  75 temporary, retry: no answer, another migration runs, or tables are in use
  130, 143  interrupted by SIGINT or SIGTERM
"""


def run_migrate(
    noun: str, schema: str, folder: Path, settings_type: type[MigrationSettings], arguments: Sequence[str]
) -> None:
    """Run `hocket-<noun> migrate`.

    Args:
        noun: Name of the service, for instance "rag".
        schema: Name of the schema.
        folder: Folder of the migrations.
        settings_type: Settings class with the prefix of the service.
        arguments: Arguments after "migrate".

    Raises:
        SystemExit: With an exit code other than 0; the message on standard error states the cause.
    """
    command = f"hocket-{noun.replace('_', '-')} migrate"
    setting = f"{settings_type.model_config.get('env_prefix', '')}postgres_migration_url".upper()
    options = _parser(command, schema, setting).parse_args(arguments)
    try:
        settings = cast("Callable[[], MigrationSettings]", settings_type)()  # values come from the environment
        url = settings.postgres_migration_url.get_secret_value()
    except ValidationError as error:
        missing = any(e["type"] == "missing" for e in error.errors())
        example = "the URL of the schema's owner, like postgresql://hocket_owner:password@host:5432/hocket"
        _exit(
            USAGE,
            f"{command}: {setting} "
            + (f"is not set; it is {example}" if missing else error.errors()[0]["msg"].removeprefix("Value error, ")),
        )
    except ValueError as error:
        _exit(USAGE, f"{command}: {error}")
    try:
        with asyncio.Runner() as runner:
            pending = runner.run(_Run(command, schema, folder, options).run(url))
    except KeyboardInterrupt:
        _exit(128 + signal.SIGINT, f"{command}: interrupted; the running file was rolled back")
    except asyncio.CancelledError:
        _exit(128 + signal.SIGTERM, f"{command}: stopped by SIGTERM; the running file was rolled back")
    except (MeshError, ValueError) as error:
        _exit(_code(error), f"{command}: {setting} ({shown_url(url)}): {error}")
    if options.check and pending:
        sys.exit(PENDING)


def _code(error: Exception) -> int:
    if isinstance(error, IncompatibleSchema):
        return INCOMPATIBLE
    return FAILED if isinstance(error, FailedPrecondition | ValueError) else TEMPORARY


def _exit(code: int, line: str) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    sys.exit(code)


class _Run:
    """One run of the command."""

    def __init__(self, command: str, schema: str, folder: Path, options: argparse.Namespace) -> None:
        self._command = command
        self._schema = schema
        self._folder = folder
        self._check = bool(options.check)
        self._limits = MigrationOptions(
            wait_s=options.wait_s,
            lock_timeout_s=options.lock_timeout_s,
            statement_timeout_s=options.statement_timeout_s,
            session_pooler=options.session_pooler,
            application=command,
        )

    async def run(self, url: str) -> bool:
        """Print the state, apply what is pending unless only to check, and return whether anything was pending."""
        task = asyncio.current_task()
        if task is not None and sys.platform != "win32":
            # SIGINT is handled by asyncio.Runner.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        state = await schema_state(url, self._schema, self._folder, options=self._limits)
        self._print(f"schema {self._schema} at {shown_url(url)}: version {state.version}, needed {state.wanted}")
        if not state.pending:
            newer = " (newer, accepts this build)" if state.version > state.wanted else ""
            self._print(f"nothing to do{newer}")
        elif self._check:
            for migration in state.pending:
                self._print(f"pending: {migration.name} (accepts servers since {migration.compatible_since})")
        else:
            await migrate(url, self._schema, self._folder, options=self._limits, report=self._print)
            self._print(f"schema {self._schema} is at version {state.wanted}")
        return bool(state.pending)

    def _print(self, line: str) -> None:
        sys.stdout.write(f"{self._command}: {line}\n")
        sys.stdout.flush()


def _parser(command: str, schema: str, setting: str) -> argparse.ArgumentParser:
    limits = MigrationOptions()
    parser = argparse.ArgumentParser(
        prog=command,
        description=_DESCRIPTION.format(schema=schema),
        epilog=_EPILOG.format(setting=setting),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check",
        "--dry-run",
        action="store_true",
        help="print the present and the needed version and the pending files, and change nothing",
    )
    parser.add_argument(
        "--wait-s",
        type=_seconds,
        default=limits.wait_s,
        metavar="S",
        help="longest wait for another migration, and for the tables of one file (default: %(default)g)",
    )
    parser.add_argument(
        "--lock-timeout-s",
        type=_seconds,
        default=limits.lock_timeout_s,
        metavar="S",
        help="longest time that one attempt to lock a table holds up serving statements (default: %(default)g)",
    )
    parser.add_argument(
        "--statement-timeout-s",
        type=_seconds,
        default=limits.statement_timeout_s,
        metavar="S",
        help="timeout of a statement in a transaction (default: %(default)g)",
    )
    parser.add_argument(
        "--session-pooler", action="store_true", help="the URL is that of a connection pooler in session mode"
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 86_400:  # a millisecond to a day; 0 would switch a timeout off
        raise argparse.ArgumentTypeError("must be from 0.001 to 86400 seconds")
    return value

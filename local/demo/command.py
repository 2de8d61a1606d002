"""The demo command: start the mesh, hold a scripted conversation with the agent, print a report, stop the mesh."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from livekit import rtc

from hocket.chassis.errors import MeshError
from local.caller.audio import InvalidRecording, Pcm, read_wav
from local.caller.call import AgentDidNotJoin
from local.data_folder import DataFolder
from local.demo.environment import start_environment
from local.demo.report import Report, format_report
from local.demo.run import run_demo
from local.errors import LocalError

EXIT_FAILED, EXIT_STOPPED = 1, 130
# Failures of the mesh, which the report names. Any other exception is a bug and keeps its traceback.
_FAILURES = (MeshError, LocalError, AgentDidNotJoin, rtc.ConnectError, OSError)


class StepRecorder:
    """Prints each step with the seconds since the start, and appends it to the report."""

    def __init__(self, report: Report) -> None:
        """Start the clock."""
        self._began_s = time.monotonic()
        self._report = report

    def __call__(self, text: str) -> None:
        """Record a finished step."""
        elapsed_s = time.monotonic() - self._began_s
        self._report.steps.append({"elapsed_s": round(elapsed_s, 1), "step": text})
        print(f"{elapsed_s:6.1f} s  {text}", flush=True)


async def demo(data_dir: Path, report: Report, recording: Path, question: Pcm | None) -> None:
    """Run the demo; a failure of the mesh ends it and becomes a failure in `report`.

    Args:
        data_dir: data folder of the mesh.
        report: receives turns, costs, steps and failures.
        recording: WAV file for the call.
        question: a recorded question to ask instead of the script.
    """
    record_step = StepRecorder(report)
    try:
        async with start_environment(data_dir, record_step) as environment:
            await run_demo(environment, report, recording, record_step, question=question)
    except _FAILURES as error:
        reached = report.steps[-1]["step"] if report.steps else "the start"
        report.failures.append(f"demo ended early, after the step {reached!r}: {error or type(error).__name__}")
    record_step("stopped the mesh")


def parse_arguments(command_line: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of the demo."""
    parser = argparse.ArgumentParser(prog="hocket-local demo", description=__doc__)
    parser.add_argument("--wav", type=Path, help="question to ask instead of the script: PCM WAV, 0.2 s to 30 s")
    parser.add_argument(
        "--data-dir", type=Path, default=Path(".hocket/demo"), help="data folder of the mesh (default: %(default)s)"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("demo-report.json"), help="JSON report to write (default: %(default)s)"
    )
    parser.add_argument(
        "--recording",
        type=Path,
        default=Path("demo-recording.wav"),
        help="stereo WAV of the call to write (default: %(default)s)",
    )
    return parser.parse_args(command_line)


async def _run_until_signal(arguments: argparse.Namespace, report: Report, question: Pcm | None) -> bool:
    """Run the demo; return False if SIGINT or SIGTERM ended it. The mesh has stopped in either case."""
    work = asyncio.create_task(demo(arguments.data_dir, report, arguments.recording.absolute(), question))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return False
    return True


def main(command_line: Sequence[str] | None = None) -> None:
    """Run the demo and exit: 0 if every check passed, 1 if one failed, 130 after a signal.

    Args:
        command_line: arguments without the program name; None for `sys.argv`.
    """
    arguments = parse_arguments(command_line)
    try:
        question = read_wav(arguments.wav) if arguments.wav else None
    except InvalidRecording as error:
        sys.exit(f"demo: {error}")
    if arguments.data_dir.exists() and DataFolder(arguments.data_dir).is_locked():
        sys.exit(
            f"demo: another demo runs in {arguments.data_dir}; wait until it ends, or choose another"
            " --data-dir, --report and --recording"
        )
    report = Report()
    if not asyncio.run(_run_until_signal(arguments, report, question)):
        print("demo: interrupted; the mesh has stopped")
        sys.exit(EXIT_STOPPED)
    try:
        report.write(arguments.report)
    except OSError as error:
        sys.exit(f"demo: cannot write {arguments.report}: {error.strerror}; choose another file with --report")
    print("\n".join(format_report(report)))
    print(f"\n  report     {arguments.report.absolute()}\n  recording  {report.recording or '-'}")
    for failure in report.failures:
        print(f"demo: failed: {failure}", file=sys.stderr)
    sys.exit(0 if report.ok else EXIT_FAILED)

"""The command behind `make demo`: starts the mesh, holds a conversation with it, says what it saw, stops everything."""

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
from local.caller.audio import NotARecording, Pcm, read_wav
from local.caller.call import AgentMissing
from local.data_folder import DataFolder
from local.demo.environment import open_stage
from local.demo.report import Report, lines
from local.demo.run import hold_demo
from local.errors import LocalError

EXIT_FAILED, EXIT_STOPPED = 1, 130
# What a part of the mesh may fail with; anything else is a defect and leaves with its traceback.
_FAILURES = (MeshError, LocalError, AgentMissing, rtc.ConnectError, OSError)


class Steps:
    """Prints each step with the seconds since the start, and keeps it for the report."""

    def __init__(self, report: Report) -> None:
        """Start the clock."""
        self._began_s = time.monotonic()
        self._report = report

    def __call__(self, text: str) -> None:
        """A step is done."""
        elapsed_s = time.monotonic() - self._began_s
        self._report.steps.append({"elapsed_s": round(elapsed_s, 1), "step": text})
        print(f"{elapsed_s:6.1f} s  {text}", flush=True)


async def demo(data_dir: Path, report: Report, recording: Path, own: Pcm | None) -> None:
    """Hold the demo; what stops it half way is a failure in `report` like any other."""
    say = Steps(report)
    try:
        async with open_stage(data_dir, say) as stage:
            await hold_demo(stage, report, recording, say, own=own)
    except _FAILURES as error:
        reached = report.steps[-1]["step"] if report.steps else "the start"
        report.failures.append(f"after {reached!r}: {error or type(error).__name__}")
    say("everything is stopped")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--wav", type=Path, help="ask this recording instead of the script (PCM WAV, 0.2 s to 30 s)")
    parser.add_argument("--data-dir", type=Path, default=Path(".hocket/demo"), help="where the mesh keeps its data")
    parser.add_argument("--report", type=Path, default=Path("demo-report.json"), help="where the report is written")
    parser.add_argument(
        "--recording", type=Path, default=Path("demo-recording.wav"), help="where the call is recorded, as stereo"
    )
    return parser.parse_args(given)


async def _until_stopped(given: argparse.Namespace, report: Report, own: Pcm | None) -> bool:
    """Run the demo; False when SIGINT or SIGTERM ended it, after everything was stopped."""
    work = asyncio.create_task(demo(given.data_dir, report, given.recording.absolute(), own))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        return False
    return True


def main(command_line: Sequence[str] | None = None) -> None:
    """Be the command: exit 0 when every part worked, 1 when one did not, 130 when stopped by a signal."""
    given = arguments(command_line)
    try:
        own = read_wav(given.wav) if given.wav else None
    except NotARecording as error:
        sys.exit(f"demo: {error}")
    if given.data_dir.exists() and DataFolder(given.data_dir).is_held():
        sys.exit(
            f"demo: another demo runs in {given.data_dir}; wait until it ends, or give this one its own"
            " --data-dir, --report and --recording"
        )
    report = Report()
    if not asyncio.run(_until_stopped(given, report, own)):
        print("demo: stopped; nothing is left running")
        sys.exit(EXIT_STOPPED)
    try:
        report.write(given.report)
    except OSError as error:
        sys.exit(f"demo: cannot write {given.report}: {error.strerror}; choose another place with --report")
    print("\n".join(lines(report)))
    print(f"\n  report     {given.report.absolute()}\n  recording  {report.recording or '-'}")
    for failure in report.failures:
        print(f"demo: did not work: {failure}", file=sys.stderr)
    sys.exit(0 if report.ok else EXIT_FAILED)

"""SIGTERM and SIGINT from the first statement of a service's process until its event loop handles them."""

from __future__ import annotations

import os
import signal
import sys

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_once() -> None:
    """End the process with exit status 0 on SIGTERM and SIGINT; `hocket.chassis.run` replaces these handlers.

    The kernel drops a signal to PID 1 that has no handler: a container stopped while its modules load would serve on
    until SIGKILL. Nothing is open yet, and an exception could be swallowed by the module that is being imported.
    """
    # With arguments (--check-config, sub-commands) the exit status is a result: an interrupted command has failed.
    if len(sys.argv) > 1:
        return
    for number in STOP_SIGNALS:
        signal.signal(number, _end)


def _end(_number: int, _frame: object) -> None:
    os._exit(0)

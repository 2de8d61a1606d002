"""Frames, pacing rules and a free port for tests of vision sessions."""

from __future__ import annotations

import socket

from hocket.client.vision import I420Frame, PacingRules

# Long enough that no verdict times out on a busy machine: every kept frame was kept by the server.
PATIENT = PacingRules(verdict_timeout_s=600)


def frame(level: int = 100) -> I420Frame:
    """Return a uniform frame of 64x64 pixels."""
    return I420Frame(bytes([level]) * (64 * 64 * 3 // 2), 64, 64)


def free_port() -> int:
    """Return a loopback port that was free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

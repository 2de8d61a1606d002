"""What sessions of the vision client are shown in tests."""

from __future__ import annotations

import socket

from hocket.client.vision import I420Frame, PacingRules

# No verdict is late, however busy the machine is: what is kept was kept by the server.
PATIENT = PacingRules(verdict_timeout_s=600)


def frame(level: int = 100) -> I420Frame:
    """A flat picture of 64x64 pixels."""
    return I420Frame(bytes([level]) * (64 * 64 * 3 // 2), 64, 64)


def free_port() -> int:
    """A port of loopback that nobody listened to a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

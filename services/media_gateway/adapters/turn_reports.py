"""Turn reports from the rooms' processes to the worker's process, whose metrics are scraped.

A room's process is short-lived and has no port that a scraper could know. Reports travel over a Unix datagram socket:
sending never blocks a turn, and a lost report is missing from the metrics only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from hocket.chassis.identity import TENANT_TIERS
from services.media_gateway import telemetry

_BYTES_MAX = 2048
_PARTS = frozenset({"llm_router", "speech", "rag", "vision", "backend", "ratelimit", "redis"})


class TurnReporter:
    """Sends the reports of a room's process."""

    def __init__(self, path: str, tenant_tier: str) -> None:
        """Open the socket.

        Args:
            path: Path of the receiver's socket; empty sends nothing.
            tenant_tier: Tier of the room's tenant, label of the metrics.
        """
        self._path = path
        self._tenant_tier = tenant_tier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def report(self, summary: dict[str, Any]) -> None:
        """Send the values that metrics count; nothing that the user or the agent said.

        Args:
            summary: Result of `turn_log.turn_summary`.
        """
        if not self._path:
            return
        report = {
            "tenant_tier": self._tenant_tier,
            "outcome": "interrupted" if summary["interrupted"] else "degraded" if summary["degraded"] else "answered",
            "degraded": summary["degraded"],
            "e2e_ms": summary["timings_ms"].get("e2e"),
        }
        with contextlib.suppress(OSError):
            self._socket.sendto(json.dumps(report).encode(), self._path)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TurnReports(asyncio.DatagramProtocol):
    """Receives reports and counts them. Malformed ones are ignored."""

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the protocol's signature
        """Count one turn."""
        if len(data) > _BYTES_MAX:
            return
        try:
            report: Any = json.loads(data)
            tier, outcome = str(report["tenant_tier"]), str(report["outcome"])
            parts, e2e_ms = list(report["degraded"]), report["e2e_ms"]
        except (ValueError, KeyError, TypeError):
            return
        if tier not in TENANT_TIERS:
            return
        telemetry.turns.labels(tier, outcome).inc()
        for part in _PARTS.intersection(parts):
            telemetry.degraded.labels(part).inc()
        if isinstance(e2e_ms, int | float):
            telemetry.turn_seconds.labels(tier).observe(e2e_ms / 1000)


async def listen(path: Path) -> asyncio.DatagramTransport:
    """Receive reports until the returned transport is closed.

    Args:
        path: Path at which the socket is created.
    """
    loop = asyncio.get_running_loop()
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(0)
    receiver.bind(str(path))
    transport, _ = await loop.create_datagram_endpoint(TurnReports, sock=receiver)
    return transport

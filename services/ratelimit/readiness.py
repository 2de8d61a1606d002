"""Decides that a service which answers without a dependency stays ready when it goes, once it has been there.

Were every replica to leave the balancer with Redis, nobody would be left to give the degraded answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.ratelimit import telemetry

Check = Callable[[], Awaitable[None]]


def until_answered(dependency: str, check: Check) -> Check:
    """A readiness check that fails until `check` has passed once; the gauge dependency_up goes on telling the truth."""
    answered = False

    async def once() -> None:
        nonlocal answered
        up = telemetry.DEPENDENCY_UP.labels(dependency)
        try:
            await check()
        except Exception:
            up.set(0)
            if not answered:
                raise
        else:
            answered = True
            up.set(1)

    return once

"""Readiness of a service that still answers without a dependency: ready from the first successful check on.

If every replica became unready together with Redis, no replica would be left to give degraded answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.ratelimit import telemetry

Check = Callable[[], Awaitable[None]]


def ready_after_first_success(dependency: str, check: Check) -> Check:
    """Wrap a readiness check: it fails until `check` has succeeded once, and passes from then on.

    Args:
        dependency: Label of the gauge hocket_ratelimit_dependency_up, which follows every result of `check`.
        check: Raises if the dependency does not answer.
    """
    answered = False

    async def readiness_check() -> None:
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

    return readiness_check

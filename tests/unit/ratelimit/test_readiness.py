"""An outage of a dependency does not make the service unready once it has been ready."""

from __future__ import annotations

import pytest

from services.ratelimit.readiness import ready_after_first_success


async def test_ready_from_the_first_success_on():
    up = False

    async def check() -> None:
        if not up:
            raise ConnectionError("unavailable")

    ready = ready_after_first_success("test", check)
    with pytest.raises(ConnectionError):
        await ready()
    up = True
    await ready()
    up = False
    await ready()

"""Once a dependency has answered, its outage does not take the service from the balancer."""

from __future__ import annotations

import pytest

from services.ratelimit.readiness import until_answered


async def test_not_ready_until_the_first_answer_and_ready_through_an_outage():
    up = False

    async def check() -> None:
        if not up:
            raise ConnectionError("gone")

    ready = until_answered("test", check)
    with pytest.raises(ConnectionError):
        await ready()
    up = True
    await ready()
    up = False
    await ready()

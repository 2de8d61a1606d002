"""Every accepted request can be recorded: names respect the limits of the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hocket.chassis import errors
from services.llm_router.adapters.mesh.ledger import event_of
from services.ratelimit.ledger.cost_events import check_events
from services.ratelimit.wire import cost_events
from tests.emulators.router_harness import DAY, asking, running_router


@pytest.mark.parametrize("name", ["turn_id", "room", "conversation_id"])
@pytest.mark.parametrize("value", ["x" * 257, "é" * 129, "a\nb", "a\x7f"])
async def test_a_name_too_long_for_the_ledger_is_refused_before_it_costs(name: str, value: str):
    async with running_router() as w:
        with pytest.raises(errors.InvalidArgument) as caught:
            await w.answer(asking("Hello?", **{name: value}))
    assert list(caught.value.fields) == [name]
    assert w.billed_micro_usd == 0


async def test_the_longest_accepted_names_can_be_recorded():
    async with running_router() as w:
        await w.answer(asking("Hello?", turn_id="é" * 64, room="ü" * 128, conversation_id="c" * 256))
    events = cost_events([event_of(cost) for cost in w.ledger.costs])
    check_events(events, DAY + timedelta(hours=1))
    assert events[0].turn_id == "é" * 64

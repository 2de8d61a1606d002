"""The book of costs, kept by the ratelimit service's ledger through a background recorder."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from hocket.ratelimit.v1 import ledger_pb2 as pb
from prometheus_client import Counter

from hocket.chassis import identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import ClientTls
from hocket.client.ledger import CostJournal, CostRecorder, EventOrigin
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome

JOURNAL_FAILURES = Counter(
    "hocket_llm_router_journal_failures", "Costs of running answers that the journal did not take."
)
_log = structlog.get_logger()
_OUTCOMES = {
    AttemptOutcome.OK: pb.COST_OUTCOME_OK,
    AttemptOutcome.CANCELLED: pb.COST_OUTCOME_CANCELLED,
    AttemptOutcome.FAILED: pb.COST_OUTCOME_FAILED,
}


class MeshLedger:
    """Books attempts as cost events of the tenant whose RPC is being served."""

    def __init__(self, recorder: CostRecorder, begun: CostJournal | None = None) -> None:
        """Book through `recorder`; `begun` holds attempts that run, for the process after a crash."""
        self._recorder = recorder
        self._begun = begun

    def reserve(self, cost: AttemptCost) -> None:
        """Write a running attempt down under the id that it will be booked under."""
        if self._begun is not None:
            caller = identity.current()
            try:
                self._begun.add(EventOrigin(caller.token, caller.tenant_id, caller.tenant_tier), event_of(cost))
            except OSError as error:
                self._journal_failed(error)

    def record(self, cost: AttemptCost) -> None:
        """Queue one event; the recorder sends it until it is durable."""
        self._recorder.record(event_of(cost))
        # After the recorder has it: between the two a crash books it twice, under one id, which is once.
        if self._begun is not None:
            try:
                self._begun.drop([cost.event_id])
            except OSError as error:
                self._journal_failed(error)

    @staticmethod
    def _journal_failed(error: OSError) -> None:
        """The answer goes on: what is not written down is lost only if this process is killed, too."""
        JOURNAL_FAILURES.inc()
        _log.warning("running cost not in the journal", problem=str(error))


def open_ledger(
    target: str | None,
    journal_file: Path | None,
    minter: TokenMinter | None,
    resources: AsyncExitStack,
    *,
    tls: ClientTls | None = None,
) -> MeshLedger:
    """A ledger at `target`; what a crashed process had begun is booked first. `resources` closes it."""
    begun: CostJournal | None = None
    if target and journal_file:
        begun = CostJournal(journal_file.with_name(f"{journal_file.name}.begun"))
        resources.callback(begun.close)
        left = begun.pending()
        if left:
            journal = CostJournal(journal_file)
            # What is in the journal already is the end of an attempt, and the row of its middle says less.
            ended = {event.event_id for _, event in journal.pending()}
            for origin, event in left:
                if event.event_id not in ended:
                    journal.add(origin, event)
            journal.close()
            begun.drop([event.event_id for _, event in left])
    recorder = CostRecorder(target, tls=tls, minter=minter, journal_file=journal_file)
    resources.push_async_callback(recorder.close)
    return MeshLedger(recorder, begun)


def event_of(cost: AttemptCost) -> pb.CostEvent:
    """The ledger's form of an attempt."""
    usage = cost.usage
    quantities = {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "thinking_tokens": usage.thinking_tokens,
        "estimated": int(cost.estimated),
        "unconfirmed_tokens": cost.unconfirmed_tokens,
    }
    event = pb.CostEvent(
        event_id=cost.event_id,
        kind=pb.COST_KIND_LLM,
        provider=cost.provider,
        model=cost.model,
        cost_micro_usd=cost.cost_micro_usd,
        quantities={name: count for name, count in quantities.items() if count},
        room=cost.room,
        turn_id=cost.turn_id,
        tier=cost.tier.name.lower(),
        price_row=cost.price_row,
        speculative=cost.speculative,
        outcome=_OUTCOMES[cost.outcome],
    )
    event.occurred_at.FromMilliseconds(int(cost.ended_at_s * 1000))
    return event

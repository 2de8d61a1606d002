"""Cost ledger over `LedgerService`: a background recorder with an on-disk journal."""

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
from hocket.client.ledger_metrics import CostEventMetrics
from services.llm_router.billing.attempt_cost import AttemptCost, AttemptOutcome

JOURNAL_FAILURES = Counter(
    "hocket_llm_router_journal_failures", "Costs of running answers that could not be journalled."
)
_log = structlog.get_logger()
_OUTCOMES = {
    AttemptOutcome.OK: pb.COST_OUTCOME_OK,
    AttemptOutcome.CANCELLED: pb.COST_OUTCOME_CANCELLED,
    AttemptOutcome.FAILED: pb.COST_OUTCOME_FAILED,
}


class MeshLedger:
    """Records attempts as cost events of the calling tenant."""

    def __init__(self, recorder: CostRecorder, reservations: CostJournal | None = None) -> None:
        """Record through `recorder`; `reservations` journals running attempts for the process after a crash."""
        self._recorder = recorder
        self._reservations = reservations

    def reserve(self, cost: AttemptCost) -> None:
        """Journal a running attempt under the id of its later cost event."""
        if self._reservations is not None:
            caller = identity.current()
            try:
                self._reservations.add(EventOrigin(caller.token, caller.tenant_id, caller.tenant_tier), event_of(cost))
            except OSError as error:
                self._journal_failed(error)

    def record(self, cost: AttemptCost) -> None:
        """Queue one event; the recorder retries until it is durable."""
        self._recorder.record(event_of(cost))
        # After the recorder has it: a crash in between records it twice under one id, which the ledger deduplicates.
        if self._reservations is not None:
            try:
                self._reservations.drop([cost.event_id])
            except OSError as error:
                self._journal_failed(error)

    @staticmethod
    def _journal_failed(error: OSError) -> None:
        """Count and log; the answer goes on, and the cost is lost only if this process is killed too."""
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
    """Open the ledger at `target`; costs that a crashed process reserved are recorded first.

    Args:
        target: gRPC target of ratelimit; None records nothing.
        journal_file: Journal of unrecorded costs; running attempts are in `<name>.begun`.
        minter: Mints tokens for events whose caller's token has expired.
        resources: Closes the ledger.
        tls: Mutual TLS of the channel.
    """
    reservations: CostJournal | None = None
    if target and journal_file:
        reservations = CostJournal(journal_file.with_name(f"{journal_file.name}.begun"))
        resources.callback(reservations.close)
        unsettled = reservations.pending()
        if unsettled:
            journal = CostJournal(journal_file)
            # An event in the journal is the end of an attempt; its reservation is older and is dropped.
            ended = {event.event_id for _, event in journal.pending()}
            for origin, event in unsettled:
                if event.event_id not in ended:
                    journal.add(origin, event)
            journal.close()
            reservations.drop([event.event_id for _, event in unsettled])
    recorder = CostRecorder(target, tls=tls, minter=minter, journal_file=journal_file, observer=CostEventMetrics())
    resources.push_async_callback(recorder.close)
    return MeshLedger(recorder, reservations)


def event_of(cost: AttemptCost) -> pb.CostEvent:
    """Return the cost event of an attempt."""
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

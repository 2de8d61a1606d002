"""Conversion between proto messages and domain values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hocket.ratelimit.v1 import ledger_pb2, ratelimit_pb2

from hocket.chassis.errors import invalid_field
from services.ratelimit import flow
from services.ratelimit.flow import Decision, Lease, SlotDecision
from services.ratelimit.ledger.cost_events import CostEvent
from services.ratelimit.ledger.cost_sums import CostSum, Period, cached_input_share
from services.ratelimit.limits import spends

_KINDS = {
    ledger_pb2.COST_KIND_LLM: "llm",
    ledger_pb2.COST_KIND_STT: "stt",
    ledger_pb2.COST_KIND_TTS: "tts",
    ledger_pb2.COST_KIND_EMBEDDING: "embedding",
    ledger_pb2.COST_KIND_RERANK: "rerank",
}
_KIND_NUMBERS = {word: number for number, word in _KINDS.items()}
_OUTCOMES = {
    ledger_pb2.COST_OUTCOME_OK: "ok",
    ledger_pb2.COST_OUTCOME_CANCELLED: "cancelled",
    ledger_pb2.COST_OUTCOME_FAILED: "failed",
}


def spend(field: str, message: ratelimit_pb2.Spend) -> spends.Spend:
    """Convert the spend at the path `field` of the request. Raises InvalidArgument if it is malformed."""
    return spends.parse_spend(field, message.limit, message.cost, message.subject)


def standing(of: flow.Standing) -> ratelimit_pb2.Standing:
    """Convert one standing."""
    return ratelimit_pb2.Standing(
        limit=of.limit.name,
        admitted=of.verdict.fits,
        capacity=of.limit.capacity_units,
        remaining=of.verdict.remaining_units,
        window=duration(of.limit.window_us),
        wait=None if of.verdict.wait_us is None else duration(of.verdict.wait_us),
    )


def check_response(decision: Decision) -> ratelimit_pb2.CheckResponse:
    """Convert the decision of a Check."""
    return ratelimit_pb2.CheckResponse(
        admitted=decision.admitted, standings=map(standing, decision.standings), degraded=decision.degraded
    )


def rows_response(batch_id: int, decision: Decision) -> ratelimit_pb2.CheckStreamResponse:
    """Convert the decision of one columnar batch; waits are rounded up, so that a retry is never too early."""
    verdicts = [standing.verdict for standing in decision.standings]
    return ratelimit_pb2.CheckStreamResponse(
        batch_id=batch_id,
        admitted=bytes(verdict.fits for verdict in verdicts),
        wait_ms=[-1 if verdict.wait_us is None else -(-verdict.wait_us // 1000) for verdict in verdicts],
        degraded=decision.degraded,
    )


def lease_response(lease: Lease) -> ratelimit_pb2.LeaseResponse:
    """Convert a lease."""
    return ratelimit_pb2.LeaseResponse(
        lease_id=lease.lease_id,
        units=lease.units,
        ttl=duration(lease.ttl_us) if lease.units else None,
        wait=None if lease.units else duration(lease.wait_us),
    )


def acquire_response(decision: SlotDecision) -> ratelimit_pb2.AcquireResponse:
    """Convert the decision of an Acquire."""
    return ratelimit_pb2.AcquireResponse(
        acquired=decision.holding.acquired,
        in_use=decision.holding.in_use,
        capacity=decision.capacity_slots,
        degraded=decision.degraded,
    )


def duration(microseconds: int) -> Duration:
    """Return a Duration of `microseconds`."""
    message = Duration()
    message.FromMicroseconds(microseconds)
    return message


def ttl_s(message: ratelimit_pb2.AcquireRequest) -> float | None:
    """Return the time to live in seconds, None if unset."""
    return message.ttl.seconds + message.ttl.nanos / 1e9 if message.HasField("ttl") else None


def cost_events(messages: Sequence[ledger_pb2.CostEvent]) -> list[CostEvent]:
    """Convert the events of a request; their fields are checked later, by check_events.

    Raises:
        InvalidArgument: A timestamp is outside of the years 1 to 9999.
    """
    return [_cost_event(f"events[{index}]", message) for index, message in enumerate(messages)]


def _cost_event(field: str, message: ledger_pb2.CostEvent) -> CostEvent:
    has_time = message.HasField("occurred_at")
    return CostEvent(
        event_id=message.event_id,
        occurred_at=timestamp(f"{field}.occurred_at", message.occurred_at) if has_time else None,
        kind=_KINDS.get(message.kind, ""),
        provider=message.provider,
        model=message.model,
        cost_micro_usd=message.cost_micro_usd,
        quantities=dict(message.quantities),
        room=message.room,
        turn_id=message.turn_id,
        tier=message.tier,
        price_row=message.price_row,
        speculative=message.speculative,
        outcome=_OUTCOMES.get(message.outcome, ""),
    )


def period(message: ledger_pb2.GetCostsRequest) -> Period:
    """Convert the period of a request. Raises InvalidArgument for a timestamp outside of the years 1 to 9999."""
    return Period(
        start=timestamp("start_time", message.start_time) if message.HasField("start_time") else None,
        end=timestamp("end_time", message.end_time) if message.HasField("end_time") else None,
        room=message.room,
    )


def timestamp(field: str, message: Timestamp) -> datetime:
    """Convert a timestamp, rounded down to the microsecond, in UTC.

    Raises:
        InvalidArgument: The timestamp is outside of the years 1 to 9999.
    """
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, "must be in the years 1 to 9999") from error


def costs_response(sums: Sequence[CostSum]) -> ledger_pb2.GetCostsResponse:
    """Convert the sums of a GetCosts."""
    rows = [
        ledger_pb2.CostSum(
            kind=_KIND_NUMBERS[one.kind],
            provider=one.provider,
            model=one.model,
            tier=one.tier,
            events=one.events,
            cost_micro_usd=one.cost_micro_usd,
            quantities=one.quantities,
            cached_input_share=cached_input_share([one]),
        )
        for one in sums
    ]
    return ledger_pb2.GetCostsResponse(
        sums=rows,
        total_micro_usd=sum(one.cost_micro_usd for one in sums),
        cached_input_share=cached_input_share(sums),
    )

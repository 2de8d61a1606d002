"""Availability of candidates, and the failures that count against them."""

from __future__ import annotations

import asyncio
import tomllib

import pytest
from prometheus_client import REGISTRY

from hocket.chassis.clock import SystemClock
from services.llm_router import telemetry
from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.adapters.state.memory_state import MemoryState
from services.llm_router.adapters.vendors.access import VendorAccess
from services.llm_router.attempts.model_health import BreakerPermit, ModelHealth
from services.llm_router.catalog.schema import read_table
from services.llm_router.errors import FailureKind, ModelFailure
from services.llm_router.routing.circuit_breaker import (
    FAILURES_TO_OPEN,
    PAUSE_MIN_S,
    PROBE_MAX_S,
    BreakerState,
    ModelCircuitBreaker,
)
from services.llm_router.routing.decision import BREAKER_OPEN


class Tables:
    current = read_table(tomllib.loads(shipped_table()))


class State:
    def __init__(self, *, first: bool = True) -> None:
        self.first = first
        self.breakers: dict[str, ModelCircuitBreaker] = {}
        self.told: list[ModelCircuitBreaker] = []

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        self.breakers[name] = breaker

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        self.breakers[name] = breaker
        self.told.append(breaker)

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:
        return self.first


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_795_305_600.0  # 2026-11-22

    def monotonic(self) -> float:
        return 0.0

    def time(self) -> float:
        return self.now_s


FLASH = Tables.current.models["gemini-3.8-flash"]


def inventory(*providers: str, first: bool = True, clock: Clock | None = None) -> ModelHealth:
    """`first`: whether this replica is the first to ask for a probe."""
    return ModelHealth(Tables(), dict.fromkeys(providers), State(first=first), clock or Clock(), embedded=False)


def failed(stock: ModelHealth, kind: FailureKind, times: int) -> ModelHealth:
    for _ in range(times):
        stock.record_failure(FLASH, ModelFailure(kind, "x"))
    return stock


def test_a_vendor_without_key_has_an_unavailable_reason():
    told = {c.alias: why for _, c, why in inventory("gemini", "openai").models()}
    assert told["gemini-3.8-flash"] is None
    assert told["claude-sonnet-5-5"] == "provider anthropic is not configured"
    assert told["openai-compatible"] == "no model name is set for it (HOCKET_LLM_ROUTER_OPENAI_MODEL)"
    assert "embedded answerer is disabled" in (told["embedded"] or "")


def test_enough_failures_open_the_breaker_and_a_success_closes_it():
    clock = Clock()
    stock = failed(inventory("gemini", clock=clock), FailureKind.OVERLOADED, FAILURES_TO_OPEN)
    assert stock.unavailable_reason(FLASH) == BREAKER_OPEN
    assert stock.health()["gemini-3.8-flash"][1] is BreakerState.OPEN
    clock.now_s += PAUSE_MIN_S
    stock.record_success(FLASH)
    assert stock.unavailable_reason(FLASH) is None


def test_faults_of_the_request_do_not_count_against_the_model():
    assert failed(inventory("gemini"), FailureKind.INVALID, 50).unavailable_reason(FLASH) is None


def test_a_rejected_key_opens_the_breaker_at_once():
    assert failed(inventory("gemini"), FailureKind.CREDENTIALS, 1).unavailable_reason(FLASH) == BREAKER_OPEN


def test_a_long_retry_after_opens_the_breaker_for_that_time():
    stock = inventory("gemini")
    stock.record_failure(FLASH, ModelFailure(FailureKind.RATE_LIMITED, "429", retry_after_s=0.5))
    assert stock.unavailable_reason(FLASH) is None
    stock.record_failure(FLASH, ModelFailure(FailureKind.RATE_LIMITED, "429", retry_after_s=30))
    assert stock.breaker(FLASH).open_until_s == stock.now_s + 30


async def test_a_closed_breaker_admits_and_an_open_one_refuses():
    stock = inventory("gemini", first=False)
    assert await stock.acquire_permit(FLASH)
    assert not await failed(stock, FailureKind.OVERLOADED, FAILURES_TO_OPEN).acquire_permit(FLASH)


async def test_after_the_pause_one_request_of_the_process_probes():
    clock = Clock()
    stock = failed(inventory("gemini", clock=clock), FailureKind.OVERLOADED, FAILURES_TO_OPEN)
    clock.now_s += PAUSE_MIN_S
    assert [await stock.acquire_permit(FLASH) for _ in range(3)] == [
        BreakerPermit.PROBE,
        BreakerPermit.DENIED,
        BreakerPermit.DENIED,
    ]
    clock.now_s += PROBE_MAX_S
    assert await stock.acquire_permit(FLASH)


async def test_no_probe_while_another_replica_probes():
    clock = Clock()
    stock = failed(inventory("gemini", first=False, clock=clock), FailureKind.OVERLOADED, FAILURES_TO_OPEN)
    clock.now_s += PAUSE_MIN_S
    told, changed_s = len(stock._state.told), stock.breaker(FLASH).changed_s  # type: ignore[attr-defined]
    assert not await stock.acquire_permit(FLASH)
    # What it does not know it does not tell, and any word of the winner's is newer than its own.
    assert len(stock._state.told) == told  # type: ignore[attr-defined]
    assert stock.breaker(FLASH).changed_s == changed_s


async def probing(kind: FailureKind | None) -> ModelHealth:
    """After a probe that ended with `kind`, or with nothing at all."""
    stock, clock = half_open()
    assert await stock.acquire_permit(FLASH) is BreakerPermit.PROBE
    assert not await stock.acquire_permit(FLASH)
    clock.now_s += 0.1
    if kind is None:
        stock.record_inconclusive(FLASH, probe=True)
    else:
        stock.record_failure(FLASH, ModelFailure(kind, "x"), probe=True)
    return stock


def half_open() -> tuple[ModelHealth, Clock]:
    clock = Clock()
    stock = failed(inventory("gemini", clock=clock), FailureKind.UNAVAILABLE, FAILURES_TO_OPEN)
    clock.now_s += PAUSE_MIN_S
    return stock, clock


@pytest.mark.parametrize("kind", [None, FailureKind.CALLER_DEADLINE, FailureKind.INTERNAL])
async def test_an_inconclusive_probe_frees_the_slot_for_the_next_request(kind):
    stock = await probing(kind)
    assert not stock.is_closed(FLASH)
    assert await stock.acquire_permit(FLASH) is BreakerPermit.PROBE


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.EMPTY, FailureKind.INVALID])
async def test_a_probe_with_a_request_fault_closes_the_breaker(kind):
    assert (await probing(kind)).is_closed(FLASH)


async def test_results_of_earlier_requests_do_not_change_an_open_or_probing_breaker():
    stock, clock = half_open()
    assert await stock.acquire_permit(FLASH)
    stock.record_inconclusive(FLASH, probe=False)
    stock.record_failure(FLASH, ModelFailure(FailureKind.REFUSED, "x"))
    assert not await stock.acquire_permit(FLASH)
    # Open again, and the vendor has named a wait.
    stock.record_failure(FLASH, ModelFailure(FailureKind.RATE_LIMITED, "x", retry_after_s=30), probe=True)
    stock.record_failure(FLASH, ModelFailure(FailureKind.INVALID, "x"))
    stock.record_success(FLASH)
    clock.now_s += 20
    assert stock.unavailable_reason(FLASH) == BREAKER_OPEN


async def test_a_cancelled_probe_claim_releases_the_slot(monkeypatch):
    stock, _ = half_open()
    never: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(stock._state, "claim_probe", lambda *_: never)
    claimed = asyncio.create_task(stock.acquire_permit(FLASH))
    await asyncio.sleep(0)
    claimed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claimed
    assert stock.breaker(FLASH).allows(stock.now_s)


def test_an_inconclusive_attempt_keeps_a_closed_breaker():
    stock = failed(inventory("gemini"), FailureKind.UNAVAILABLE, 2)
    stock.record_inconclusive(FLASH, probe=False)
    assert stock.breaker(FLASH).failures == 2


def test_an_unknown_model_opens_the_breaker_at_once():
    assert failed(inventory("gemini"), FailureKind.UNKNOWN_MODEL, 1).unavailable_reason(FLASH) == BREAKER_OPEN
    assert failed(inventory("gemini"), FailureKind.INTERNAL, 9).unavailable_reason(FLASH) is None


def test_a_rejected_key_does_not_open_breakers_of_replicas_with_another_key():
    state = MemoryState()
    keys = [VendorAccess(gemini_api_key=key).fingerprint for key in ("old", "old", "new")]
    ours, same, other = (
        ModelHealth(Tables(), {"gemini": object()}, state, SystemClock(), embedded=False, keys=k)  # type: ignore[dict-item]
        for k in keys
    )
    ours.record_failure(FLASH, ModelFailure(FailureKind.CREDENTIALS, "401"))
    assert (ours.is_closed(FLASH), same.is_closed(FLASH), other.is_closed(FLASH)) == (False, False, True)


async def test_each_breaker_is_shown_as_a_metric(monkeypatch):
    monkeypatch.setattr(telemetry, "SHOWN_EVERY_S", 0)

    async def shown(stock: ModelHealth) -> float | None:
        task = asyncio.create_task(telemetry.keep_breakers_shown(stock.health))
        await asyncio.sleep(0)
        task.cancel()
        return REGISTRY.get_sample_value("hocket_llm_router_circuit_breaker_open", {"model": FLASH.alias})

    stock = inventory("gemini")
    assert await shown(stock) == 0
    assert await shown(failed(stock, FailureKind.OVERLOADED, FAILURES_TO_OPEN)) == 1

"""Which jobs the worker accepts."""

from __future__ import annotations

import pytest

from services.media_gateway.rooms import admission
from services.media_gateway.rooms.admission import JobOutcome, SlotAnswer
from services.media_gateway.rooms.job_context import JobContext

JOB = JobContext("acme", "free", "demo", "ann")


def test_valid_metadata_is_parsed():
    assert admission.read_job(JOB.to_json(), "acme__demo") == JOB


@pytest.mark.parametrize(
    ("job", "livekit_room"),
    [
        (JOB, "other__demo"),
        (JOB, "acme__elsewhere"),
        (JobContext("../acme", "free", "demo", "ann"), "../acme__demo"),
        (JobContext("acme", "gold", "demo", "ann"), "acme__demo"),
    ],
)
def test_metadata_of_another_room_or_an_invalid_tenant_is_rejected(job, livekit_room):
    assert admission.read_job(job.to_json(), livekit_room) is None


@pytest.mark.parametrize(
    ("job", "draining", "active_rooms", "expected", "terminate"),
    [
        (None, False, 0, JobOutcome.MALFORMED, True),
        (JOB, True, 0, JobOutcome.DRAINING, False),
        (JOB, False, 3, JobOutcome.FULL, False),
    ],
)
def test_a_malformed_job_a_draining_worker_and_a_full_worker_need_no_slot(
    job, draining, active_rooms, expected, terminate
):
    decision = admission.refuse_before_slot(job, draining=draining, active_rooms=active_rooms, rooms_max=3)
    assert decision is not None
    assert (decision.outcome, decision.terminate, decision.accepted) == (expected, terminate, False)


def test_a_job_is_accepted_unless_the_slot_is_refused():
    assert admission.refuse_before_slot(JOB, draining=False, active_rooms=2, rooms_max=3) is None
    assert admission.decide_by_slot(SlotAnswer(acquired=True)).accepted
    assert admission.decide_by_slot(SlotAnswer(acquired=None)).accepted
    limited = admission.decide_by_slot(SlotAnswer(acquired=False))
    assert (limited.outcome, limited.terminate) == (JobOutcome.LIMITED, True)


def test_load_is_one_when_every_room_is_taken():
    assert [admission.load(n, 4) for n in (0, 2, 4)] == [0, 0.5, 1]

"""Which jobs are accepted."""

from __future__ import annotations

import pytest

from services.media_gateway.rooms import admission
from services.media_gateway.rooms.admission import JobOutcome, SlotAnswer
from services.media_gateway.rooms.job_context import JobContext

JOB = JobContext("acme", "free", "demo", "ann")


def test_a_job_names_its_tenant_and_the_room_it_is_for():
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
def test_metadata_that_does_not_fit_its_room_is_nobodys_job(job, livekit_room):
    assert admission.read_job(job.to_json(), livekit_room) is None


@pytest.mark.parametrize(
    ("job", "draining", "active_rooms", "expected", "terminate"),
    [
        (None, False, 0, JobOutcome.MALFORMED, True),
        (JOB, True, 0, JobOutcome.DRAINING, False),
        (JOB, False, 3, JobOutcome.FULL, False),
    ],
)
def test_what_needs_no_slot_to_be_refused_is_refused_first(job, draining, active_rooms, expected, terminate):
    verdict = admission.refuse_before_slot(job, draining=draining, active_rooms=active_rooms, rooms_max=3)
    assert verdict is not None
    assert (verdict.outcome, verdict.terminate, verdict.accepted) == (expected, terminate, False)


def test_a_free_worker_asks_for_a_slot_and_serves_without_an_answer():
    assert admission.refuse_before_slot(JOB, draining=False, active_rooms=2, rooms_max=3) is None
    assert admission.decide_by_slot(SlotAnswer(acquired=True)).accepted
    assert admission.decide_by_slot(SlotAnswer(acquired=None)).accepted
    limited = admission.decide_by_slot(SlotAnswer(acquired=False))
    assert (limited.outcome, limited.terminate) == (JobOutcome.LIMITED, True)


def test_load_reaches_one_when_every_room_is_taken():
    assert [admission.load(n, 4) for n in (0, 2, 4)] == [0, 0.5, 1]

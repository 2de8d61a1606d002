"""Job contexts in dispatch metadata."""

from __future__ import annotations

import pytest

from services.media_gateway.rooms.job_context import JobContext, parse_job_context, replacement_context

CONTEXT = JobContext("acme", "premium", "demo", "ann")


def test_dispatch_metadata_round_trips():
    assert parse_job_context(CONTEXT.to_json()) == CONTEXT


@pytest.mark.parametrize("metadata", ["", "[]", "{}", "nonsense", '{"tenant_id": 1, "tenant_tier": "free"}', "null"])
def test_malformed_metadata_is_not_a_job_context(metadata):
    assert parse_job_context(metadata) is None


def test_a_replacement_agent_gets_the_earlier_context():
    assert replacement_context(("acme", "demo"), [CONTEXT], ["bob", "ann"]) == CONTEXT


def test_a_replacement_agent_serves_a_person_who_is_present():
    assert replacement_context(("acme", "demo"), [CONTEXT], ["bob"]).user_id == "bob"


def test_without_an_earlier_context_the_standard_tier_is_assumed():
    other = JobContext("x", "free", "demo", "ann")
    expected = JobContext("acme", "standard", "demo", "bob")
    assert replacement_context(("acme", "demo"), [other], ["bob"]) == expected

"""Envoy descriptors map to the configured limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.limits.descriptors import merge_spends, spend_for_descriptor
from services.ratelimit.limits.spends import SUBJECT_BYTES_MAX, Spend

KNOWN = {"rag_queries", "llm_requests"}


def test_entry_limit_names_the_limit_and_the_others_the_subject():
    assert spend_for_descriptor([("limit", "rag_queries")], 0, KNOWN) == Spend("rag_queries", 1, "")
    assert spend_for_descriptor([("user", "u1"), ("limit", "rag_queries"), ("path", "/a")], 3, KNOWN) == Spend(
        "rag_queries", 3, "user=u1|path=/a"
    )


def test_without_an_entry_limit_the_first_key_names_the_limit():
    assert spend_for_descriptor([("rag_queries", "u1"), ("b", "c")], 1, KNOWN) == Spend(
        "rag_queries", 1, "rag_queries=u1|b=c"
    )


def test_descriptor_of_an_unknown_limit_is_not_limited():
    assert spend_for_descriptor([], 1, KNOWN) is None
    assert spend_for_descriptor([("path", "/a")], 1, KNOWN) is None
    assert spend_for_descriptor([("limit", "unknown")], 1, KNOWN) is None


entries = st.lists(st.tuples(st.text("ab=|%", min_size=1), st.text("ab=|%")), max_size=4)


@given(entries, entries)
def test_different_descriptors_have_different_subjects(one, other):
    subjects = [spend_for_descriptor([("limit", "rag_queries"), *e], 1, KNOWN).subject for e in (one, other)]
    # The strategy cannot generate a second entry with the key "limit".
    assert (subjects[0] == subjects[1]) == (one == other)


def test_long_subject_is_hashed():
    spend = spend_for_descriptor([("limit", "rag_queries"), ("user", "x" * 1000)], 1, KNOWN)
    assert len(spend.subject.encode()) <= SUBJECT_BYTES_MAX


def test_repeated_limits_and_subjects_are_added_up():
    assert merge_spends([Spend("a", 1, ""), Spend("b", 1, ""), Spend("a", 2, "")]) == [
        Spend("a", 3, ""),
        Spend("b", 1, ""),
    ]

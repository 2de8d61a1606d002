"""Which limit an Envoy descriptor means."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.descriptors import merged, spend_of
from services.ratelimit.spends import SUBJECT_BYTES_MAX, Spend

KNOWN = {"rag_queries", "llm_requests"}


def test_the_entry_limit_names_the_limit_and_the_others_the_subject():
    assert spend_of([("limit", "rag_queries")], 0, KNOWN) == Spend("rag_queries", 1, "")
    assert spend_of([("user", "u1"), ("limit", "rag_queries"), ("path", "/a")], 3, KNOWN) == Spend(
        "rag_queries", 3, "user=u1|path=/a"
    )


def test_without_it_the_first_key_does():
    assert spend_of([("rag_queries", "u1"), ("b", "c")], 1, KNOWN) == Spend("rag_queries", 1, "rag_queries=u1|b=c")


def test_a_descriptor_that_names_no_limit_is_not_limited():
    assert spend_of([], 1, KNOWN) is None
    assert spend_of([("path", "/a")], 1, KNOWN) is None
    assert spend_of([("limit", "unheard")], 1, KNOWN) is None


entries = st.lists(st.tuples(st.text("ab=|%", min_size=1), st.text("ab=|%")), max_size=4)


@given(entries, entries)
def test_different_descriptors_never_share_a_bucket(one, other):
    subjects = [spend_of([("limit", "rag_queries"), *e], 1, KNOWN).subject for e in (one, other)]
    # A second entry with the key "limit" cannot be generated, so nothing else is taken out.
    assert (subjects[0] == subjects[1]) == (one == other)


def test_a_long_subject_is_hashed_to_fit():
    spend = spend_of([("limit", "rag_queries"), ("user", "x" * 1000)], 1, KNOWN)
    assert len(spend.subject.encode()) <= SUBJECT_BYTES_MAX


def test_repeated_buckets_add_up():
    assert merged([Spend("a", 1, ""), Spend("b", 1, ""), Spend("a", 2, "")]) == [Spend("a", 3, ""), Spend("b", 1, "")]

"""Decides which configured limit an Envoy descriptor means.

A descriptor is a list of (key, value) entries. Its limit is the value of the first entry with the key "limit"; without
such an entry, the key of the first entry. Every other entry, and a first entry used by its key, becomes a part of the
subject: "key=value", joined by "|":

    [("limit", "rag_queries")]                        limit rag_queries, the tenant as a whole
    [("limit", "rag_queries"), ("user", "u1")]        limit rag_queries, subject "user=u1"
    [("rag_queries", "u1")]                           limit rag_queries, subject "rag_queries=u1"

A descriptor that names no configured limit is not limited, as in Envoy's own service. The tenant is that of the token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from services.ratelimit.limits.spends import COST_UNITS_MAX, SUBJECT_BYTES_MAX, Spend


def spend_for_descriptor(entries: Sequence[tuple[str, str]], hits: int, known: Collection[str]) -> Spend | None:
    """Return the spend that a descriptor means.

    Args:
        entries: Keys and values of the descriptor.
        hits: Units to spend; 0 means 1.
        known: Names of the configured rate limits.

    Returns:
        The spend, or None if the descriptor names no limit of `known`.
    """
    if not entries:
        return None
    position = next((i for i, (key, _) in enumerate(entries) if key == "limit"), None)
    if position is None:
        limit, rest = entries[0][0], [*entries]
    else:
        limit, rest = entries[position][1], [entry for i, entry in enumerate(entries) if i != position]
    if limit not in known:
        return None
    # Separators inside keys and values are escaped, so that two descriptors never share a subject.
    subject = "|".join(f"{_escape(key)}={_escape(value)}" for key, value in rest)
    if len(subject.encode()) > SUBJECT_BYTES_MAX:
        subject = f"sha256={sha256(subject.encode()).hexdigest()}"
    return Spend(limit, min(hits or 1, COST_UNITS_MAX), subject)


def merge_spends(spends: Sequence[Spend]) -> list[Spend]:
    """Return one spend per limit and subject, with the costs of repetitions added up."""
    hits: dict[tuple[str, str], int] = {}
    for spend in spends:
        bucket = (spend.limit, spend.subject)
        hits[bucket] = min(hits.get(bucket, 0) + spend.cost_units, COST_UNITS_MAX)
    return [Spend(limit, units, subject) for (limit, subject), units in hits.items()]


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C").replace("=", "%3D")

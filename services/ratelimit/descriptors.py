"""Decides which of our limits an Envoy descriptor means.

A descriptor is a list of (key, value) entries. Its limit is the value of the first entry whose key is "limit", or else
the key of the first entry. All other entries, and a first entry taken by its key, are the subject: "key=value" joined
by "|". So

    [("limit", "rag_queries")]                        limit rag_queries, the tenant as a whole
    [("limit", "rag_queries"), ("user", "u1")]        limit rag_queries, subject "user=u1"
    [("rag_queries", "u1")]                           limit rag_queries, subject "rag_queries=u1"

A descriptor that names no limit is not limited, as with Envoy's own service. The tenant is the token's, as everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from services.ratelimit.spends import COST_UNITS_MAX, SUBJECT_BYTES_MAX, Spend


def spend_of(entries: Sequence[tuple[str, str]], hits: int, known: Collection[str]) -> Spend | None:
    """The spend a descriptor means, None when it names no limit of `known`. 0 hits mean 1."""
    if not entries:
        return None
    position = next((i for i, (key, _) in enumerate(entries) if key == "limit"), None)
    if position is None:
        limit, rest = entries[0][0], [*entries]
    else:
        limit, rest = entries[position][1], [entry for i, entry in enumerate(entries) if i != position]
    if limit not in known:
        return None
    # Separators in keys and values are escaped, so that two descriptors never share a subject.
    subject = "|".join(f"{_escaped(key)}={_escaped(value)}" for key, value in rest)
    if len(subject.encode()) > SUBJECT_BYTES_MAX:
        subject = f"sha256={sha256(subject.encode()).hexdigest()}"
    return Spend(limit, min(hits or 1, COST_UNITS_MAX), subject)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C").replace("=", "%3D")


def merged(spends: Sequence[Spend]) -> list[Spend]:
    """One spend a bucket, with the hits of its repetitions added up."""
    hits: dict[tuple[str, str], int] = {}
    for spend in spends:
        bucket = (spend.limit, spend.subject)
        hits[bucket] = min(hits.get(bucket, 0) + spend.cost_units, COST_UNITS_MAX)
    return [Spend(limit, units, subject) for (limit, subject), units in hits.items()]

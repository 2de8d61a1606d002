"""Counts of tokens as vendors tell them, of which nothing is taken on trust."""

from __future__ import annotations

from typing import TypeGuard

from services.llm_router.chat.events import TOKENS_MAX


def valid_token_count(value: object) -> int:
    """`value` where it is a count of tokens, else 0.

    What a server tells becomes money in a tenant's book. A null, a negative number, a fraction, a text or a number that
    no column holds is no count, and one such answer must neither cost a fortune nor bring the booking down.
    """
    return value if is_token_count(value) else 0


def is_token_count(value: object) -> TypeGuard[int]:
    """Whether `value` is a count of tokens."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX

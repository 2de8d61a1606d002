"""Validates token counts reported by vendors."""

from __future__ import annotations

from typing import TypeGuard

from services.llm_router.chat.events import TOKENS_MAX


def valid_token_count(value: object) -> int:
    """Return `value` if it is a token count, else 0.

    Counts become money: null, negative numbers, fractions, text and overflowing numbers count as unreported.
    """
    return value if is_token_count(value) else 0


def is_token_count(value: object) -> TypeGuard[int]:
    """True for a plausible token count."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX

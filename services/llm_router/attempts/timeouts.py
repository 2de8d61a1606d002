"""How long an attempt at a model may take, and when its being late is nobody's fault but the caller's hurry."""

from __future__ import annotations

from dataclasses import dataclass

# Kept of the caller's time, so that an answer which has to end early still ends in its own words; of little, less.
END_MARGIN_S = 0.1
END_MARGIN_SHARE = 0.25
# A model of which little is known that says nothing for so long is late, however little time its caller had.
LATE_S = 1.0


def end_margin_s(left_s: float) -> float:
    """How much of the caller's remaining time is kept for the end of its answer."""
    return min(END_MARGIN_S, max(left_s, 0.0) * END_MARGIN_SHARE)


@dataclass(frozen=True, slots=True)
class FirstTokenTimeout:
    """Seconds to wait for the first output; `caller_limited` when the caller's deadline is what bounds it."""

    seconds: float
    caller_limited: bool = False


@dataclass(frozen=True, slots=True)
class AttemptTimeouts:
    """How long an attempt may take, in seconds.

    `first_token_s` bounds the time to the first *useful* event (text or a tool call), so that keep-alives and thinking
    do not hide dead air; `fallback_first_token_s` is the same for attempts after the first, whose model is cold.
    """

    first_token_s: float = 3.0
    fallback_first_token_s: float = 5.0
    between_tokens_s: float = 5.0
    total_s: float = 120.0

    def first_token_timeout(
        self, attempt: int, *, left_s: float | None, last: bool, p95_s: float | None = None
    ) -> FirstTokenTimeout:
        """How long attempt number `attempt` (from 1) is waited for.

        While somebody else could still be asked, an attempt takes no more than half of the caller's remaining time.
        `p95_s` is what the model hardly ever takes longer than; None when that is not known.
        """
        wanted = self.first_token_s if attempt == 1 else self.fallback_first_token_s
        if left_s is None:
            return FirstTokenTimeout(wanted)
        usable_s = left_s - end_margin_s(left_s)
        given = usable_s if last else usable_s / 2
        return FirstTokenTimeout(
            min(wanted, given), caller_limited=given < min(wanted, LATE_S if p95_s is None else p95_s)
        )

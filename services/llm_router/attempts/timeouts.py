"""Timeouts of attempts, and which of them are due to the caller's deadline instead of the model."""

from __future__ import annotations

from dataclasses import dataclass

# Reserved at the end of the caller's deadline, so that a cut answer still ends with its own events; of short deadlines
# a share.
END_MARGIN_S = 0.1
END_MARGIN_SHARE = 0.25
# First-token latency above which a model without latency history counts as late.
LATE_S = 1.0


def end_margin_s(left_s: float) -> float:
    """Return the seconds at the end of the remaining `left_s` that are reserved for ending the answer."""
    return min(END_MARGIN_S, max(left_s, 0.0) * END_MARGIN_SHARE)


@dataclass(frozen=True, slots=True)
class FirstTokenTimeout:
    """Seconds to wait for the first output; `caller_limited` when the caller's deadline bounds it.

    A caller-limited timeout does not count against the model.
    """

    seconds: float
    caller_limited: bool = False


@dataclass(frozen=True, slots=True)
class AttemptTimeouts:
    """Timeouts of attempts in seconds.

    `first_token_s` bounds the wait for the first output (text or a tool call): keep-alives and thinking do not count.
    `fallback_first_token_s` applies to later attempts, whose models are cold.
    """

    first_token_s: float = 3.0
    fallback_first_token_s: float = 5.0
    between_tokens_s: float = 5.0
    total_s: float = 120.0

    def first_token_timeout(
        self, attempt: int, *, left_s: float | None, last: bool, p95_s: float | None = None
    ) -> FirstTokenTimeout:
        """Return the first-token timeout of an attempt.

        While other candidates are left, an attempt gets at most half of the caller's remaining time.

        Args:
            attempt: Number of the attempt, from 1.
            left_s: Seconds until the caller's deadline; None without one.
            last: True when no further candidate is left.
            p95_s: 95th percentile of the model's first-token latency; None when unknown.
        """
        configured_s = self.first_token_s if attempt == 1 else self.fallback_first_token_s
        if left_s is None:
            return FirstTokenTimeout(configured_s)
        usable_s = left_s - end_margin_s(left_s)
        available_s = usable_s if last else usable_s / 2
        return FirstTokenTimeout(
            min(configured_s, available_s),
            caller_limited=available_s < min(configured_s, LATE_S if p95_s is None else p95_s),
        )

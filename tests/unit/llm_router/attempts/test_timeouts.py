"""Timeouts, and whether the model or the caller's deadline causes them."""

from __future__ import annotations

import pytest

from services.llm_router.attempts.timeouts import AttemptTimeouts

LIMITS = AttemptTimeouts(first_token_s=3, fallback_first_token_s=5)


@pytest.mark.parametrize(
    ("left_s", "last", "p95_s", "seconds", "caller_limited"),
    [
        (None, True, None, 3, False),
        (30.0, False, None, 3, False),
        # Half of the caller's time, less the end margin, while another candidate is left.
        (4.1, False, None, 2, False),
        (4.1, True, None, 3, False),
        # One second without output counts against the model, unless its p95 is longer.
        (2.5, False, None, 1.2, False),
        (2.5, False, 1.5, 1.2, True),
        # Less than a second does not, unless its p95 is shorter.
        (1.3, False, None, 0.6, True),
        (1.3, False, 0.4, 0.6, False),
        # The end margin does not count as time of the model.
        (0.34, True, 0.26, 0.255, True),
        (0.12, True, 0.002, 0.09, False),
        (0.0, True, 0.002, 0.0, True),
    ],
)
def test_a_timeout_shorter_than_the_models_latency_is_caller_limited(left_s, last, p95_s, seconds, caller_limited):
    wait = LIMITS.first_token_timeout(1, left_s=left_s, last=last, p95_s=p95_s)
    assert (wait.seconds, wait.caller_limited) == (pytest.approx(seconds), caller_limited)


def test_later_attempts_get_the_fallback_timeout():
    assert LIMITS.first_token_timeout(2, left_s=None, last=False).seconds == 5

"""Decides how long the next read of a stream is delayed after refused offers."""

from __future__ import annotations

# Refusing an offer costs the event loop 10 us and a message of 256 offers a few ms. With this delay a stream of refused
# offers alone takes about 1 % of the loop, and a client that repeats one frame id notices nothing.
_DELAY_PER_REFUSAL_S = 0.004
DELAY_S_MAX = 1.0
# Delayed streams of a tenant then resume one at a time, each after this share of its delay: together they bring at most
# 20 full messages a second, however many they are.
TURN_SHARE = 0.05


def refusal_delay_s(refused: int, offered: int) -> float:
    """Return the delay before the next message of a stream is read.

    The delay grows with the number of refusals and with their share: a gateway with a few tracks above its limit keeps
    the pace of its other tracks, and a flood is held by flow control.

    Args:
        refused: Offers of the last message that were refused, 0 to `offered`.
        offered: Offers in the last message, at least 1 where any was refused.

    Returns:
        Seconds, 0 to DELAY_S_MAX.
    """
    if not refused:
        return 0.0
    return min(DELAY_S_MAX, _DELAY_PER_REFUSAL_S * refused * refused / offered)

"""How much more slowly a stream is read that sends what is refused."""

from __future__ import annotations

# Refusing an offer costs the loop 10 us and a message of 256 a few ms: at this price a stream of nothing but refused
# offers takes about a percent of it, and a client that repeats one id does not notice.
_WAIT_PER_REFUSAL_S = 0.004
DELAY_S_MAX = 1.0
# Streams that were held back are read again one after the other, each for this share of its wait: however many there
# are, they bring 20 full messages a second and never all at once.
TURN_SHARE = 0.05


def refusal_delay_s(refused: int, offered: int) -> float:
    """Seconds to wait before the next message of a stream is read, 0 to 1.

    In proportion to what was refused of the last message and to its share: a gateway with a few tracks too many keeps
    the pace of its others, and one that floods is held by flow control.
    """
    if not refused:
        return 0.0
    return min(DELAY_S_MAX, _WAIT_PER_REFUSAL_S * refused * refused / offered)

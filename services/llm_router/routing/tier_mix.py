"""Which tier a score falls into, so that the shares of tiers are held on any traffic, or only not exceeded, or neither.

Three modes. `share` places a score by its rank in a window of this tenant's recent scores, moves the cuts against the
surplus that has built up, and refuses a tier whose surplus reached its bound: the shares are then within 0.02 (L1) from
300 requests on, on every order of traffic, because the bound makes it so and not because the traffic is kind. `cap`
cuts the score at fixed points and uses the same bound as a ceiling for the dearer tiers alone. `quality` cuts at fixed
points and nothing else.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.llm_router.chat.request import MixMode, Tier

WINDOW_SCORES = 400
# Scores of plain voice commands and hard prompts before a tenant has shown its own (quantiles of a mixed stream).
PRIOR_SCORES = (0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.15, 0.17, 0.19, 0.22, 0.26, 0.32, 0.4, 0.5, 0.62, 0.78)
# Absolute cuts of `cap` and `quality`: below the first simple, from the second on complex.
ABSOLUTE_CUTS = (0.30, 0.55)
# A surplus of one request moves a cut by this much rank. Larger holds tighter and heeds the score less.
FEEDBACK_PER_REQUEST = 0.03
SURPLUS_MIN = 1.5
# What each of several replicas may be ahead by itself, however little it serves. Two and three of them then hold the
# bound on all orders that were tried, five on most; with 1.0 three did not. Less heeds the score less.
OWN_SURPLUS_MIN = 0.7
SURPLUS_SHARE = 0.005
# The worst window of 200 requests errs by at most twice this: 0.08.
SURPLUS_MAX = 8.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a score falls: the tier score_tier for by rank or cut alone, and the tier that the mix allows."""

    score_tier: Tier
    tier: Tier
    rank: float

    @property
    def moved(self) -> bool:
        """Whether the mix overruled the score."""
        return self.score_tier is not self.tier


@dataclass(slots=True)
class TierMix:
    """The mix of one tenant in one mode: recent scores, and how many requests each tier served.

    `remote` are the counts of other replicas, as last heard. Not safe for threads; no method awaits.
    """

    shares: Mapping[Tier, float]
    served: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    remote: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    # Served here since the remote were last heard of.
    _since_sync: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    _recent: deque[float] = field(default_factory=deque[float])
    _sorted: list[float] = field(default_factory=lambda: sorted(PRIOR_SCORES))

    @property
    def total(self) -> int:
        """Requests counted, on all replicas."""
        return sum(self.served.values()) + sum(self.remote.values())

    def surplus(self, tier: Tier) -> float:
        """Requests that `tier` served beyond its share, with what the remote are presumed to have done meanwhile.

        They saw what is seen here, and do what is done here: a surplus that all of them worked off alone would turn
        into a lack of it before they hear of each other.
        """
        known = self.served[tier] + self.remote[tier] - self.shares[tier] * self.total
        own, since = sum(self.served.values()), sum(self._since_sync.values())
        if not since or own == self.total:
            return known
        return known + (self._since_sync[tier] - self.shares[tier] * since) * (self.total - own) / own

    def set_remote(self, tier: Tier, count: int) -> None:
        """The remote have served `count` requests in `tier`."""
        self.remote[tier] = count
        self._since_sync[tier] = 0

    def at_bound(self, tier: Tier) -> bool:
        """Whether one more request would take `tier` past its bound."""
        after = self.surplus(tier) + 1 - self.shares[tier]
        return after > surplus_bound(self.total) or self._at_local_bound(tier)

    def _at_local_bound(self, tier: Tier) -> bool:
        """Whether this replica has used up its part of the bound: of the remote it knows what they served a while ago.

        Parts go by traffic and add up to the whole, so that replicas that know nothing of each other hold it together.
        """
        own = sum(self.served.values())
        if own == self.total:
            return False
        after = self.served[tier] + 1 - self.shares[tier] * (own + 1)
        return after > max(OWN_SURPLUS_MIN, surplus_bound(self.total) * own / self.total)

    def place(self, score: float, mode: MixMode, tie: float) -> Placement:
        """The tier of `score`; counts nothing. `tie` in 0..1 places the score among equal ones."""
        rank = self._rank(score, tie)
        if mode is not MixMode.SHARE:
            score_tier = tier_at(score, ABSOLUTE_CUTS)
            if mode is MixMode.QUALITY:
                return Placement(score_tier, score_tier, rank)
            return Placement(score_tier, self._below_ceiling(score_tier), rank)
        simple = self.shares[Tier.SIMPLE]
        cuts = (simple, simple + self.shares[Tier.MODERATE])
        score_tier = tier_at(rank, cuts)
        steered = tier_at(rank, self._corrected_cuts(cuts))
        return Placement(score_tier, self._nearest_open_tier(steered), rank)

    def count(self, score: float, tier: Tier) -> None:
        """A request of `score` was served by `tier`."""
        self.served[tier] += 1
        self._since_sync[tier] += 1
        self._recent.append(score)
        bisect.insort(self._sorted, score)
        if len(self._recent) > WINDOW_SCORES:
            oldest = self._recent.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, oldest)]

    def _rank(self, score: float, tie: float) -> float:
        low, high = bisect.bisect_left(self._sorted, score), bisect.bisect_right(self._sorted, score)
        return (low + tie * (high - low + 1)) / (len(self._sorted) + 1)

    def _corrected_cuts(self, cuts: Sequence[float]) -> tuple[float, float]:
        first = cuts[0] - FEEDBACK_PER_REQUEST * self.surplus(Tier.SIMPLE)
        second = cuts[1] + FEEDBACK_PER_REQUEST * self.surplus(Tier.COMPLEX)
        return first, max(first, second)

    def _nearest_open_tier(self, tier: Tier) -> Tier:
        """The tier nearest to `tier` that may serve one more; the surpluses add up to 0, so there is one."""
        open_tiers = [t for t in Tier if not self.at_bound(t)] or [min(Tier, key=self.surplus)]
        return min(open_tiers, key=lambda t: (abs(t - tier), self.surplus(t)))

    def _below_ceiling(self, tier: Tier) -> Tier:
        while tier > Tier.SIMPLE and self.at_bound(tier):
            tier = Tier(tier - 1)
        return tier


def surplus_bound(total: int) -> float:
    """Requests that a tier may be ahead of its share after `total`: four times this over `total` bounds the L1."""
    return min(max(SURPLUS_MIN, SURPLUS_SHARE * total), SURPLUS_MAX)


def tier_at(value: float, cuts: Sequence[float]) -> Tier:
    """The tier of `value` between two cuts."""
    return Tier.SIMPLE if value < cuts[0] else Tier.MODERATE if value < cuts[1] else Tier.COMPLEX


def tie_break(number: int) -> float:
    """A number in 0..1 for the `number`th request: evenly spread without chance (golden-ratio sequence)."""
    return (number * 0.6180339887498949) % 1.0

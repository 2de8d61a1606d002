"""Places a score in a tier so that the tiers keep their shares of the traffic.

Modes. `share` places a score by its rank among the tenant's recent scores, corrects the cuts by the accumulated
surplus, and closes a tier whose surplus reached its bound; this bound keeps the shares within 0.02 (L1) from 300
requests on, on any order of traffic. `cap` cuts the score at fixed points and applies the bound to the more expensive
tiers only. `quality` cuts at fixed points.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.llm_router.chat.request import MixMode, Tier

WINDOW_SCORES = 400
# Quantiles of a mixed stream of voice commands and hard prompts; used until a tenant has scores of its own.
PRIOR_SCORES = (0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.15, 0.17, 0.19, 0.22, 0.26, 0.32, 0.4, 0.5, 0.62, 0.78)
# Fixed cuts of `cap` and `quality`: simple below the first, complex from the second on.
ABSOLUTE_CUTS = (0.30, 0.55)
# Shift of a cut, in rank, for a surplus of one request. Higher values hold the shares tighter and follow the score
# less.
FEEDBACK_PER_REQUEST = 0.03
SURPLUS_MIN = 1.5
# Surplus that each of several replicas may have on its own. With 0.7, two and three replicas held the bound on all
# orders that were tried, five on most; with 1.0 three did not. Lower values follow the score less.
OWN_SURPLUS_MIN = 0.7
SURPLUS_SHARE = 0.005
# Bounds the worst window of 200 requests to an error of 2 * 8 / 200 = 0.08.
SURPLUS_MAX = 8.0


@dataclass(frozen=True, slots=True)
class Placement:
    """The tier by rank or cut alone, the tier that the mix allows, and the rank (0..1)."""

    score_tier: Tier
    tier: Tier
    rank: float

    @property
    def moved(self) -> bool:
        """True when the mix overruled the score."""
        return self.score_tier is not self.tier


@dataclass(slots=True)
class TierMix:
    """Recent scores and requests per tier of one tenant in one mode.

    `remote` holds the counts of other replicas at the last synchronization. Not thread-safe; no method awaits.
    """

    shares: Mapping[Tier, float]
    served: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    remote: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    # Served here since the last synchronization.
    _since_sync: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    _recent: deque[float] = field(default_factory=deque[float])
    _sorted: list[float] = field(default_factory=lambda: sorted(PRIOR_SCORES))

    @property
    def total(self) -> int:
        """Requests counted on all replicas."""
        return sum(self.served.values()) + sum(self.remote.values())

    def surplus(self, tier: Tier) -> float:
        """Return the requests of `tier` above its share, extrapolated over all replicas.

        Replicas presumably did the same as this one since the last synchronization. Without this, all of them would
        work off the same surplus at once and turn it into a deficit.
        """
        known = self.served[tier] + self.remote[tier] - self.shares[tier] * self.total
        local_total, since = sum(self.served.values()), sum(self._since_sync.values())
        if not since or local_total == self.total:
            return known
        return known + (self._since_sync[tier] - self.shares[tier] * since) * (self.total - local_total) / local_total

    def set_remote(self, tier: Tier, count: int) -> None:
        """Set the requests that other replicas have served in `tier`."""
        self.remote[tier] = count
        self._since_sync[tier] = 0

    def at_bound(self, tier: Tier) -> bool:
        """True when one more request would take `tier` past its bound."""
        after = self.surplus(tier) + 1 - self.shares[tier]
        return after > surplus_bound(self.total) or self._at_local_bound(tier)

    def _at_local_bound(self, tier: Tier) -> bool:
        """True when this replica has used its part of the bound.

        Parts are proportional to traffic and add up to the whole, so that replicas hold the bound between
        synchronizations.
        """
        local_total = sum(self.served.values())
        if local_total == self.total:
            return False
        after = self.served[tier] + 1 - self.shares[tier] * (local_total + 1)
        return after > max(OWN_SURPLUS_MIN, surplus_bound(self.total) * local_total / self.total)

    def place(self, score: float, mode: MixMode, tie: float) -> Placement:
        """Place `score` in a tier without counting it.

        Args:
            score: Complexity, 0..1.
            mode: How shares are held.
            tie: Position among equal scores, 0..1.
        """
        rank = self._rank(score, tie)
        if mode is not MixMode.SHARE:
            score_tier = tier_at(score, ABSOLUTE_CUTS)
            if mode is MixMode.QUALITY:
                return Placement(score_tier, score_tier, rank)
            return Placement(score_tier, self._below_ceiling(score_tier), rank)
        simple = self.shares[Tier.SIMPLE]
        cuts = (simple, simple + self.shares[Tier.MODERATE])
        score_tier = tier_at(rank, cuts)
        corrected = tier_at(rank, self._corrected_cuts(cuts))
        return Placement(score_tier, self._nearest_open_tier(corrected), rank)

    def count(self, score: float, tier: Tier) -> None:
        """Count a request of `score` that `tier` serves."""
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
        """Return the tier nearest to `tier` below its bound; surpluses add up to 0, so one exists."""
        open_tiers = [t for t in Tier if not self.at_bound(t)] or [min(Tier, key=self.surplus)]
        return min(open_tiers, key=lambda t: (abs(t - tier), self.surplus(t)))

    def _below_ceiling(self, tier: Tier) -> Tier:
        while tier > Tier.SIMPLE and self.at_bound(tier):
            tier = Tier(tier - 1)
        return tier


def surplus_bound(total: int) -> float:
    """Return the requests that a tier may exceed its share by; four times this over `total` bounds the L1 distance."""
    return min(max(SURPLUS_MIN, SURPLUS_SHARE * total), SURPLUS_MAX)


def tier_at(value: float, cuts: Sequence[float]) -> Tier:
    """Return the tier of `value` between two cuts."""
    return Tier.SIMPLE if value < cuts[0] else Tier.MODERATE if value < cuts[1] else Tier.COMPLEX


def tie_break(number: int) -> float:
    """Return an evenly spread number in 0..1 for the `number`th request, without randomness (golden-ratio sequence)."""
    return (number * 0.6180339887498949) % 1.0

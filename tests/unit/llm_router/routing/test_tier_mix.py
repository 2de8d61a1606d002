"""The shares of tiers are held on any traffic."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.routing.tier_mix import SURPLUS_MAX, TierMix, surplus_bound, tie_break, tier_at

SHARES = {Tier.SIMPLE: 0.60, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}


def served(scores: list[float], mode: MixMode = MixMode.SHARE, mix: TierMix | None = None) -> list[Tier]:
    mix = mix or TierMix(SHARES)
    out = []
    for score in scores:
        placed = mix.place(score, mode, tie_break(mix.total))
        mix.count(score, placed.tier)
        out.append(placed.tier)
    return out


def distance(tiers: list[Tier]) -> float:
    return sum(abs(tiers.count(t) / len(tiers) - SHARES[t]) for t in Tier)


def worst_window(tiers: list[Tier], width: int = 200) -> float:
    windows = [tiers[i : i + width] for i in range(0, len(tiers) - width + 1, 7)]
    return max(abs(w.count(t) / width - SHARES[t]) for w in windows for t in Tier)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


def traffic(chance: random.Random) -> dict[str, list[float]]:
    easy = [chance.betavariate(2, 9) for _ in range(1500)]
    hard = [chance.betavariate(6, 3) for _ in range(500)]
    return {
        "equal": [0.2] * 1000,
        "few scores": [round(s, 1) for s in easy],
        "steady": easy,
        "easy, hard, easy": [*easy, *hard, *easy],
        "ascending": sorted(easy + hard),
        "descending": sorted(easy + hard, reverse=True),
        "bursts": [s for i in range(10) for s in (*easy[i * 100 : i * 100 + 100], *hard[i * 50 : i * 50 + 50])],
    }


@pytest.mark.parametrize("name", traffic(random.Random(7)))
def test_shares_are_within_two_hundredths_from_three_hundred_requests_on(name: str, chance: random.Random):
    tiers = served(traffic(chance)[name])
    assert max(distance(tiers[:n]) for n in range(300, len(tiers), 50)) <= 0.02
    assert worst_window(tiers) <= 0.10


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=300, max_size=500))
def test_the_bound_holds_for_every_order_of_scores(scores: list[float]):
    assert distance(served(scores)) <= 0.02


def test_harder_requests_go_to_more_expensive_tiers(chance: random.Random):
    scores = [chance.random() for _ in range(2000)]
    tiers = served(scores)
    means = [sum(s for s, t in zip(scores, tiers, strict=True) if t is tier) / tiers.count(tier) for tier in Tier]
    assert means[0] + 0.2 < means[1] < means[2] - 0.1


def test_cap_never_exceeds_the_shares_of_expensive_tiers(chance: random.Random):
    hard = served([0.9] * 1000, MixMode.CAP)
    assert hard.count(Tier.COMPLEX) <= 0.15 * 1000 + SURPLUS_MAX + 1
    assert set(served([0.1] * 1000, MixMode.CAP)) == {Tier.SIMPLE}


def test_quality_follows_the_score_alone():
    assert set(served([0.9] * 500, MixMode.QUALITY)) == {Tier.COMPLEX}


def test_counts_of_other_replicas_weigh_like_local_counts():
    mix = TierMix(SHARES)
    mix.remote.update({Tier.SIMPLE: 0, Tier.MODERATE: 0, Tier.COMPLEX: 100})
    assert Tier.COMPLEX not in served([0.99] * 50, mix=mix)


def test_the_bound_grows_with_the_traffic_up_to_its_maximum():
    assert [surplus_bound(n) for n in (0, 300, 1000, 10_000)] == [1.5, 1.5, 5.0, 8.0]


def test_a_value_on_a_cut_belongs_to_the_higher_tier():
    assert [tier_at(v, (0.3, 0.6)) for v in (0.29, 0.3, 0.6)] == [Tier.SIMPLE, Tier.MODERATE, Tier.COMPLEX]


@pytest.mark.parametrize(("replicas", "heard_every"), [(2, 60), (3, 60), (5, 10)])
def test_replicas_with_late_synchronization_hold_the_shares(replicas: int, heard_every: int):
    chance = random.Random(1)
    shares = {Tier.SIMPLE: 0.6, Tier.MODERATE: 0.25, Tier.COMPLEX: 0.15}
    mixes = [TierMix(shares) for _ in range(replicas)]
    served: list[Tier] = []
    worst = 0.0
    for n in range(1200):
        mix = mixes[n % replicas]
        score = chance.betavariate(2, 9)
        tier = mix.place(score, MixMode.SHARE, tie_break(mix.total)).tier
        mix.count(score, tier)
        served.append(tier)
        if n % heard_every == heard_every - 1:
            # The remote replica's counts are merged only here.
            for own in mixes:
                own.remote = {t: sum(m.served[t] for m in mixes if m is not own) for t in Tier}
        if n >= 300:
            worst = max(worst, sum(abs(served.count(t) / len(served) - shares[t]) for t in Tier))
    # One replica alone holds 0.02; each of these rounds its part to whole requests.
    assert worst <= 0.02 + 0.005 * replicas


def worst_of_replicas(seed: int, count: int, burst: int) -> float:
    """The worst L1 from 300 requests on; replicas hear of the remote after each burst, in which all take turns."""
    chance, replicas, out = random.Random(seed), [TierMix(SHARES) for _ in range(count)], list[Tier]()
    distances: list[float] = []
    while len(out) < 900:
        for _ in range(burst):
            out += served([chance.random()], mix=replicas[len(out) % count])
            distances.append(distance(out))
        for mix in replicas:
            for tier in Tier:
                mix.set_remote(tier, out.count(tier) - mix.served[tier])
    return max(distances[300:])


@pytest.mark.parametrize("burst", [1, 10, 50])
@pytest.mark.parametrize(("count", "bound"), [(2, 0.02), (3, 0.02), (5, 0.026)])
def test_replicas_with_late_synchronization_hold_the_mix(count: int, bound: float, burst: int):
    """They must not all work off the same surplus at once."""
    assert max(worst_of_replicas(seed, count, burst) for seed in range(8)) <= bound

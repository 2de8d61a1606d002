"""What 1,000 scripted conversations of 20 turns cost under four ways to choose a model, and what each layer saves.

    python -m bench.llm_router.conversations [--traffic FOLDER] [--conversations N] [--prefix TOKENS ...]
        [--json]

The router's own decisions, sessions and prices; the vendors' caches are modelled (Anthropic reads what was written
within five minutes; Gemini finds a prefix again seven times in ten, from its minimum on). A conversation is on hard
matters or on easy ones, four turns in five. "Hard on top" is the share of hard turns that the top tier answered, beside
it the same with the tiers shuffled over the turns at the same cost: what is no better than its shuffle is no routing.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.llm_router.traffic import Prompt, prompts
from bench.results import Table, add_json_option
from services.llm_router.adapters.files.tiers_file import shipped_table
from services.llm_router.billing.pricing import cost_micro_usd
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.catalog.toml_file import parse_tiers
from services.llm_router.chat.events import Usage
from services.llm_router.chat.request import Message, MixMode, Request, Role, Text, Tier, tokens_of
from services.llm_router.routing.complexity import SurfaceScorer
from services.llm_router.routing.decision import RoutingContext, decide
from services.llm_router.routing.sessions import CACHE_TTL_S, Session, after_turn
from services.llm_router.routing.tier_mix import TierMix, tie_break

ROWS_TABLE = Table(
    "llm_router",
    "llm_router_conversations",
    (
        *("prefix, tokens", "routing", "USD per 1,000 conversations", "of top tier uncached"),
        *("tiers", "hard on top", "shuffled"),
    ),
    "1,000 conversations of 20 turns, a fifth of them on hard subjects; prices of 2026-12-15, vendor caches "
    'modelled, not billed. "Hard on top" is the share of hard turns that the top tier answered; "shuffled" the '
    "same with tiers shuffled over the turns at equal cost.",
)
SUMMARY_TABLE = Table(
    "llm_router",
    "llm_router_conversations_summary",
    ("routing", "USD per 1,000 conversations"),
    "Prefix of 1,500 tokens; modelled from decisions and price rows, not billed by a vendor.",
)
TURNS = 20
SUMMARY_PREFIX = "1500"
GAP_S = 20.0
OUTPUT_TOKENS = 60
HARD_CONVERSATIONS = 0.2
HARD_PROMPT_CHARACTERS = 600
GEMINI_HIT = 0.7
AT_S = datetime(2026, 12, 15, tzinfo=UTC).timestamp()
TABLE = parse_tiers(shipped_table(), "tiers.toml")
VENDORS = frozenset({"anthropic", "gemini"})

# Given the turn's prompt, the session and the time: the model and the tier.
Choose = Callable[[Prompt, "Talk", float], tuple[Candidate, Tier]]


@dataclass
class Talk:
    """One conversation: its prefix, how long it has grown, and which caches hold how much until when."""

    rules: str
    history_tokens: int = 0
    session: Session | None = None
    said: list[str] = field(default_factory=list)
    caches: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def prefix_tokens(self) -> int:
        return tokens_of(self.rules) + self.history_tokens


@dataclass
class Tally:
    """What a way came to."""

    micro_usd: int = 0
    served: list[tuple[bool, Tier, int]] = field(default_factory=list)

    def hard_on_top(self) -> float:
        hard = [tier for is_hard, tier, _ in self.served if is_hard]
        return sum(t is Tier.COMPLEX for t in hard) / max(len(hard), 1)

    def shuffled_hard_on_top(self) -> float:
        return sum(t is Tier.COMPLEX for _, t, _ in self.served) / len(self.served)

    def shares(self) -> str:
        tiers = [t for _, t, _ in self.served]
        return "/".join(f"{tiers.count(t) / len(tiers):.0%}" for t in Tier)


def script(easy: list[Prompt], hard: list[Prompt], chance: random.Random) -> list[Prompt]:
    """The turns of one conversation."""
    own, other = (hard, easy) if chance.random() < HARD_CONVERSATIONS else (easy, hard)
    turns = [chance.choice(own if chance.random() < 0.8 else other if own is hard else own) for _ in range(TURNS)]
    return [replace(p, text=p.text[:HARD_PROMPT_CHARACTERS]) for p in turns]


def cost_of(talk: Talk, prompt: Prompt, model: Candidate, now_s: float, chance: random.Random, *, cached: bool) -> int:
    """Micro-USD of one turn, and the caches after it."""
    fresh, prefix = tokens_of(prompt.text), talk.prefix_tokens
    usage = Usage(input_tokens=prefix + fresh, output_tokens=OUTPUT_TOKENS)
    held, until = talk.caches.get(model.alias, (0, 0.0))
    held = held if until > now_s else 0
    if cached and prefix >= model.cache_prefix_tokens_min and model.cache != "none":
        if model.cache == "explicit":
            read = min(held, prefix)
            usage = Usage(0, read, prefix + fresh - read, output_tokens=OUTPUT_TOKENS)
        elif held and chance.random() < GEMINI_HIT:
            read = min(held, prefix)
            usage = Usage(prefix + fresh - read, read, output_tokens=OUTPUT_TOKENS)
        talk.caches[model.alias] = (prefix + fresh, now_s + CACHE_TTL_S)
    return cost_micro_usd(usage, model.price(now_s, prefix + fresh))


def top(table: TierTable) -> Candidate:
    """The first living model of the top tier."""
    return next(c for c in table.candidates(Tier.COMPLEX) if c.in_service(AT_S))


def always_top(_: Prompt, __: Talk, ___: float) -> tuple[Candidate, Tier]:
    return top(TABLE), Tier.COMPLEX


def by_mix(mode: MixMode, *, sticky: bool, cache_aware: bool) -> Choose:
    """The router's own decision, with layers left out."""
    mix, scorer, numbers = TierMix(TABLE.shares), SurfaceScorer(), iter(range(10**9))

    def choose(prompt: Prompt, talk: Talk, now_s: float) -> tuple[Candidate, Tier]:
        users = [Message(Role.USER, (Text(text),)) for text in (*talk.said[-3:], prompt.text)]
        request = Request((Message(Role.SYSTEM, (Text(talk.rules),)), *users), max_output_tokens=OUTPUT_TOKENS)
        session = talk.session if sticky else None
        if session is not None and not cache_aware:
            session = replace(session, warm={})
        situation = RoutingContext(TABLE, now_s, mode, tie_break(next(numbers)), _usable, session)
        decision = decide(request, scorer.score(request), mix, situation)
        mix.count(decision.score, decision.counted or decision.tier)
        model = decision.candidates[0]
        held = talk.prefix_tokens if model.cache != "none" else 0
        warm = held if held >= model.cache_prefix_tokens_min else 0
        talk.session = after_turn(
            talk.session,
            tier=decision.tier,
            mix_tier=decision.mix_tier,
            model=model.alias,
            usage=Usage(cached_input_tokens=warm),
            now_s=now_s,
        )
        return model, decision.tier

    return choose


def _usable(candidate: Candidate) -> str | None:
    return None if candidate.provider in VENDORS else "not compared"


def play(scripts: list[list[Prompt]], prefix: int, choose: Choose, *, cached: bool) -> Tally:
    """Every conversation, turn by turn, under one way to choose."""
    tally, chance, rules = Tally(), random.Random(5), "rule " * int(prefix * 3.6 / 5)
    for number, turns in enumerate(scripts):
        talk = Talk(f"{rules}{number % 7}")
        for turn, prompt in enumerate(turns):
            now_s = AT_S + number * 3 + turn * GAP_S
            model, tier = choose(prompt, talk, now_s)
            cost = cost_of(talk, prompt, model, now_s, chance, cached=cached)
            talk.said.append(prompt.text)
            talk.history_tokens += tokens_of(prompt.text) + OUTPUT_TOKENS
            tally.micro_usd += cost
            tally.served.append((prompt.hard, tier, cost))
    return tally


def ways() -> Iterator[tuple[str, Choose, bool]]:
    """Name, choice and whether caches are used."""
    yield "all top, uncached", always_top, False
    yield "all top, cached", always_top, True
    yield "mix per turn, uncached", by_mix(MixMode.SHARE, sticky=False, cache_aware=False), False
    yield "mix per turn, cached", by_mix(MixMode.SHARE, sticky=False, cache_aware=False), True
    yield "ours, share: + sessions", by_mix(MixMode.SHARE, sticky=True, cache_aware=False), True
    yield "ours, share: + warm caches", by_mix(MixMode.SHARE, sticky=True, cache_aware=True), True
    yield "ours, cap", by_mix(MixMode.CAP, sticky=True, cache_aware=True), True
    yield "ours, quality", by_mix(MixMode.QUALITY, sticky=True, cache_aware=True), True


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traffic", type=Path)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--prefix", type=int, nargs="+", default=[600, 1500, 8000])
    add_json_option(parser)
    options = parser.parse_args()
    easy, hard = prompts(options.traffic)
    chance = random.Random(3)
    scripts = [script(easy, hard, chance) for _ in range(options.conversations)]
    rows: list[list[str]] = []
    for prefix in options.prefix:
        base = 0.0
        for name, choose, cached in ways():
            tally = play(scripts, prefix, choose, cached=cached)
            usd = tally.micro_usd / 1e6 / options.conversations * 1000
            base = base or usd
            quality = f"{tally.hard_on_top():.0%}", f"{tally.shuffled_hard_on_top():.0%}"
            rows.append([str(prefix), name, f"{usd:.2f}", f"{usd / base:.0%}", tally.shares(), *quality])
    ROWS_TABLE.publish(rows, write=options.json)
    SUMMARY_TABLE.publish([r[1:3] for r in rows if r[0] == SUMMARY_PREFIX], write=options.json)


if __name__ == "__main__":
    main()

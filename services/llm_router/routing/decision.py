"""Which tier answers a request, which of its models first and which after it, and why; nothing is awaited here.

The order of causes: a pinned model, a pinned tier, an open tool call, the mix over the score. A gate (what a model can
do, how long its window is, whether it lives and is well) never changes the score: it takes candidates away, and the
tier moves up where nothing capable is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.llm_router.billing.pricing import cost_micro_usd
from services.llm_router.catalog.tiers import Candidate, TierTable
from services.llm_router.chat.events import Usage
from services.llm_router.chat.request import MixMode, Request, Tier
from services.llm_router.errors import AllModelsFailed, NoCapableModel
from services.llm_router.routing.complexity import Complexity, Contribution
from services.llm_router.routing.sessions import Session, holds
from services.llm_router.routing.tier_mix import Mix, Placement

# What an answer in a voice conversation takes, for estimates: 60 tokens were typical, 150 is a long one.
EXPECTED_OUTPUT_TOKENS = 100
REASONS_MAX = 6
_TIER_UP_THEN_DOWN = {
    Tier.SIMPLE: (Tier.SIMPLE, Tier.MODERATE, Tier.COMPLEX),
    Tier.MODERATE: (Tier.MODERATE, Tier.COMPLEX, Tier.SIMPLE),
    Tier.COMPLEX: (Tier.COMPLEX, Tier.MODERATE, Tier.SIMPLE),
}

BREAKER_OPEN = "its circuit breaker is open"
# None when the candidate may be tried now, else why not (no key, breaker open).
Usable = Callable[[Candidate], str | None]


class Cause(StrEnum):
    """What decided the tier."""

    PINNED_MODEL = "pinned_model"
    PINNED_TIER = "pinned_tier"
    OPEN_TOOL_CALL = "open_tool_call"
    GATE = "gate"
    TIER_AWAY = "tier_away"
    SESSION = "session"
    WARM_CACHE = "warm_cache"
    BUDGET = "budget"
    MIX = "mix"
    SCORE = "score"


# These stay out of the shares, counted apart; so does a gate.
# What a budget pushed down must not be paid back in dear answers once the budget is full again.
EXEMPT = frozenset({Cause.PINNED_MODEL, Cause.PINNED_TIER, Cause.OPEN_TOOL_CALL, Cause.BUDGET})


@dataclass(frozen=True, slots=True)
class Alternative:
    """A candidate not tried first, its estimated cost in micro-USD, and why it is not."""

    tier: Tier
    model: str
    cost_micro_usd: int
    why_not: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The tier, what decided it, whom to try in which order, and why, strongest first.

    `wished` is the tier that the mix placed the score in, `counted` the one to count in the mix: None for what a gate
    or a pin decided. `estimates` are micro-USD by alias, `warm_tokens` what each one's prompt cache still holds.
    """

    tier: Tier
    wished: Tier
    counted: Tier | None
    cause: Cause
    ladder: tuple[Candidate, ...]
    score: float
    features: Mapping[str, float]
    reasons: tuple[Contribution, ...]
    alternatives: tuple[Alternative, ...]
    estimates: Mapping[str, int]
    warm_tokens: Mapping[str, int]
    mode: MixMode


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision depends on besides the request."""

    table: TierTable
    now_s: float
    mode: MixMode
    tie: float
    usable: Usable
    session: Session | None = None
    cheapest_only: bool = False


def decide(request: Request, complexity: Complexity, mix: Mix, situation: Situation) -> Decision:
    """The decision for `request`; the mix is read, not counted. Raises NoCapableModel or AllModelsFailed."""
    if request.pin_model and request.pin_model not in situation.table.models:
        # It was there when the request was read.
        raise NoCapableModel(f"{request.pin_model} has left the table of tiers; ListModels tells who is there")
    fit = _Fit(request, situation)
    placed = mix.place(complexity.score, situation.mode, situation.tie)
    tier, cause, detail = _tier(request, placed, complexity.score, mix, situation)
    gated = next((t for t in _TIER_UP_THEN_DOWN[tier] if any(fit.problem(c) is None for c in _of(situation, t))), None)
    counted = None if cause in EXEMPT else tier
    if gated is not None and gated is not tier:
        # A tier that is away for everybody is still counted where it was placed: uncounted, its share would grow
        # without end and draw all traffic to whoever stands in for it.
        away = all(_away(c, situation) for c in _of(situation, tier))
        cause, counted = (Cause.TIER_AWAY, counted) if away else (Cause.GATE, None)
        tier, detail = gated, f"nothing in {tier.name.lower()} serves {'anybody' if away else 'this request'} now"
    ladder = _ladder(request, tier, situation, fit)
    if not ladder:
        raise _nothing_serves(request, situation, fit)
    estimates = {c.alias: estimate_micro_usd(request, c, situation) for c in situation.table.models.values()}
    reasons = (Contribution(cause.value, 0.0, detail), *complexity.contributions[:REASONS_MAX])
    alternatives = tuple(_alternatives(tier, ladder, situation, fit, estimates))
    return Decision(
        tier,
        placed.tier,
        counted,
        cause,
        ladder,
        complexity.score,
        complexity.features,
        reasons,
        alternatives,
        estimates,
        {} if situation.session is None else situation.session.all_warm(situation.now_s),
        situation.mode,
    )


def _tier(request: Request, placed: Placement, score: float, mix: Mix, situation: Situation) -> tuple[Tier, Cause, str]:
    session = situation.session
    if request.pin_model:
        return (
            situation.table.tier_of(request.pin_model),
            Cause.PINNED_MODEL,
            f"the caller asked for {request.pin_model}",
        )
    if request.pin_tier is not None:
        return request.pin_tier, Cause.PINNED_TIER, f"the caller asked for {request.pin_tier.name.lower()}"
    if request.awaits_tool_result and session is not None:
        return session.tier, Cause.OPEN_TOOL_CALL, f"{session.model} waits for the result of its tool call"
    if situation.cheapest_only:
        return Tier.SIMPLE, Cause.BUDGET, "the tenant is near its budget"
    if session is not None and placed.tier < session.tier and not mix.full(session.tier):
        stays = _stays(request, session, placed.tier, situation)
        if stays is not None:
            return session.tier, *stays
    return placed.tier, *_placement_cause(placed, situation.mode, score)


def _stays(request: Request, session: Session, wished: Tier, situation: Situation) -> tuple[Cause, str] | None:
    """Why a conversation that could descend does not, or None when it does."""
    if holds(session, wished, situation.now_s):
        return Cause.SESSION, f"the conversation stays with {session.tier.name.lower()} a while"
    if _saved_by_staying(request, session, wished, situation) >= 0:
        return Cause.WARM_CACHE, f"{session.model} is warm and no dearer than a cold cheaper model"
    return None


def _saved_by_staying(request: Request, session: Session, tier: Tier, situation: Situation) -> int:
    """Micro-USD that this turn costs less with the conversation's own warm model than with the first one of `tier`."""
    own = situation.table.models.get(session.model)
    other = next((c for c in _of(situation, tier) if situation.usable(c) is None and c.alive(situation.now_s)), None)
    if own is None or other is None or not session.warm_tokens(session.model, situation.now_s):
        return -1
    return estimate_micro_usd(request, other, situation) - estimate_micro_usd(request, own, situation)


def _placement_cause(placed: Placement, mode: MixMode, score: float) -> tuple[Cause, str]:
    if placed.moved:
        return Cause.MIX, f"{placed.wished.name.lower()} by its score, moved to hold the {mode.value} of the tiers"
    if mode is MixMode.SHARE:
        return Cause.SCORE, f"score {score:.2f} ranks {placed.rank:.0%} among recent ones"
    return Cause.SCORE, f"score {score:.2f} against fixed cuts"


@dataclass(frozen=True, slots=True)
class _Fit:
    """Whether a candidate can serve the request at all. Each is looked at once and asked after often."""

    request: Request
    situation: Situation
    _found: dict[str, str | None] = field(default_factory=dict[str, "str | None"])

    def problem(self, candidate: Candidate) -> str | None:
        if candidate.alias not in self._found:
            self._found[candidate.alias] = self._problem(candidate)
        return self._found[candidate.alias]

    def _problem(self, candidate: Candidate) -> str | None:
        if not candidate.alive(self.situation.now_s):
            return "its vendor has taken it out of service"
        lacking = self.request.needs - candidate.capabilities
        if lacking:
            return f"cannot do {', '.join(sorted(lacking))}"
        tokens = self.request.prompt_tokens
        if tokens + self.request.max_output_tokens > candidate.context_window_tokens:
            return f"the prompt of about {tokens} tokens is longer than its window"
        return self.situation.usable(candidate)


def _away(candidate: Candidate, situation: Situation) -> bool:
    return not candidate.alive(situation.now_s) or situation.usable(candidate) is not None


def _of(situation: Situation, tier: Tier) -> tuple[Candidate, ...]:
    return tuple(situation.table.candidates(tier))


def _ladder(request: Request, tier: Tier, situation: Situation, fit: _Fit) -> tuple[Candidate, ...]:
    if request.pin_model:
        pinned = situation.table.models[request.pin_model]
        return (pinned,) if fit.problem(pinned) is None else ()
    seen: dict[str, Candidate] = {}
    for other in _TIER_UP_THEN_DOWN[tier]:
        for candidate in _of(situation, other):
            if candidate.alias not in seen and fit.problem(candidate) is None:
                seen[candidate.alias] = candidate
    # The embedded answerer is no model: it speaks when nothing else can, whatever the tier.
    ordered = sorted(seen.values(), key=lambda c: c.provider == "embedded")
    session = situation.session
    first = _warmest(request, tier, situation, ordered) if session is not None else None
    if first is not None:
        ordered.sort(key=lambda c: c is not first)
    return tuple(ordered)


def _warmest(request: Request, tier: Tier, situation: Situation, ordered: Sequence[Candidate]) -> Candidate | None:
    """Whom of the tier to ask before its first: the conversation's own model, or one a warm cache makes cheaper."""
    session, own = situation.session, [c for c in ordered if c.alias in situation.table.tiers[tier]]
    if session is not None and request.awaits_tool_result:
        # Whoever called the tool, also where it stood in for another tier.
        return next((c for c in ordered if c.alias == session.model), None)
    if session is None or not own:
        return None
    if session.tier is tier:
        # It knows its own signatures, and its cache is warm; a sibling of the tier would start cold.
        return next((c for c in own if c.alias == session.model), None)
    warm = [c for c in own if session.warm_tokens(c.alias, situation.now_s)]
    cheapest = min((own[0], *warm), key=lambda c: estimate_micro_usd(request, c, situation))
    return None if cheapest is own[0] else cheapest


def _nothing_serves(request: Request, situation: Situation, fit: _Fit) -> NoCapableModel | AllModelsFailed:
    asked = [situation.table.models[request.pin_model]] if request.pin_model else situation.table.models.values()
    problems = {c.alias: fit.problem(c) or "" for c in asked}
    resting = {alias: "breaker_open" for alias, problem in problems.items() if problem == BREAKER_OPEN}
    if resting:
        return AllModelsFailed(resting)
    told = "; ".join(f"{alias} {problem}" for alias, problem in problems.items())
    return NoCapableModel(f"no model serves this request: {told}")


def _alternatives(
    tier: Tier, ladder: tuple[Candidate, ...], situation: Situation, fit: _Fit, estimates: Mapping[str, int]
) -> list[Alternative]:
    found: list[Alternative] = []
    for other in Tier:
        for candidate in _of(situation, other):
            if candidate.alias == ladder[0].alias and other is tier:
                continue
            why = fit.problem(candidate) or _place(candidate, other is tier, ladder)
            found.append(Alternative(other, candidate.alias, estimates[candidate.alias], why))
    return found


def _place(candidate: Candidate, same_tier: bool, ladder: tuple[Candidate, ...]) -> str:
    if candidate not in ladder:
        return "the caller pinned another"
    return f"number {ladder.index(candidate) + 1} in line" if same_tier else "in another tier"


def estimate_micro_usd(request: Request, candidate: Candidate, situation: Situation) -> int:
    """What `candidate` would charge for this turn, in micro-USD, with its prefix warm or cold as the session knows."""
    prompt = request.prompt_tokens
    price = candidate.price(situation.now_s, prompt)
    usage = Usage(input_tokens=prompt, output_tokens=request.max_output_tokens or EXPECTED_OUTPUT_TOKENS)
    if candidate.cache != "none" and prompt >= candidate.cache_prefix_tokens_min:
        session = situation.session
        warm = session.warm_tokens(candidate.alias, situation.now_s) if session else 0
        cached = min(warm, prompt)
        written = max(request.prefix_tokens - cached, 0) if candidate.cache == "explicit" else 0
        fresh = max(prompt - cached - written, 0)
        usage = replace(usage, input_tokens=fresh, cached_input_tokens=cached, cache_write_5m_tokens=written)
    return cost_micro_usd(usage, price)

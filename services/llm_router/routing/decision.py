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
from services.llm_router.routing.sessions import Session, holds_tier
from services.llm_router.routing.tier_mix import Placement, TierMix

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

    `mix_tier` is the tier that the mix placed the score in, `counted` the one to count in the mix: None for what a gate
    or a pin decided. `estimates` are micro-USD by alias, `warm_tokens` what each one's prompt cache still holds.
    """

    tier: Tier
    mix_tier: Tier
    counted: Tier | None
    cause: Cause
    candidates: tuple[Candidate, ...]
    score: float
    features: Mapping[str, float]
    reasons: tuple[Contribution, ...]
    alternatives: tuple[Alternative, ...]
    estimates: Mapping[str, int]
    warm_tokens: Mapping[str, int]
    mode: MixMode


@dataclass(frozen=True, slots=True)
class RoutingContext:
    """What a decision depends on besides the request."""

    table: TierTable
    now_s: float
    mode: MixMode
    tie: float
    usable: Usable
    session: Session | None = None
    cheapest_only: bool = False


def decide(request: Request, complexity: Complexity, mix: TierMix, context: RoutingContext) -> Decision:
    """The decision for `request`; the mix is read, not counted. Raises NoCapableModel or AllModelsFailed."""
    if request.pin_model and request.pin_model not in context.table.models:
        # It was there when the request was read.
        raise NoCapableModel(f"{request.pin_model} has left the table of tiers; ListModels tells who is there")
    fit = _Eligibility(request, context)
    placed = mix.place(complexity.score, context.mode, context.tie)
    tier, cause, detail = _tier(request, placed, complexity.score, mix, context)
    gated = next((t for t in _TIER_UP_THEN_DOWN[tier] if any(fit.problem(c) is None for c in _of(context, t))), None)
    counted = None if cause in EXEMPT else tier
    if gated is not None and gated is not tier:
        # A tier without any available model still counts where it was placed. Uncounted, its deficit would grow without
        # bound and, once it is back, draw all traffic.
        away = all(_away(c, context) for c in _of(context, tier))
        cause, counted = (Cause.TIER_AWAY, counted) if away else (Cause.GATE, None)
        tier, detail = gated, f"nothing in {tier.name.lower()} serves {'anybody' if away else 'this request'} now"
    candidates = _candidates(request, tier, context, fit)
    if not candidates:
        raise _nothing_serves(request, context, fit)
    estimates = {c.alias: estimate_micro_usd(request, c, context) for c in context.table.models.values()}
    reasons = (Contribution(cause.value, 0.0, detail), *complexity.contributions[:REASONS_MAX])
    alternatives = tuple(_alternatives(tier, candidates, context, fit, estimates))
    return Decision(
        tier,
        placed.tier,
        counted,
        cause,
        candidates,
        complexity.score,
        complexity.features,
        reasons,
        alternatives,
        estimates,
        {} if context.session is None else context.session.warm_caches(context.now_s),
        context.mode,
    )


def _tier(
    request: Request, placed: Placement, score: float, mix: TierMix, context: RoutingContext
) -> tuple[Tier, Cause, str]:
    session = context.session
    if request.pin_model:
        return (
            context.table.tier_of(request.pin_model),
            Cause.PINNED_MODEL,
            f"the caller asked for {request.pin_model}",
        )
    if request.pin_tier is not None:
        return request.pin_tier, Cause.PINNED_TIER, f"the caller asked for {request.pin_tier.name.lower()}"
    if request.awaits_tool_result and session is not None:
        return session.tier, Cause.OPEN_TOOL_CALL, f"{session.model} waits for the result of its tool call"
    if context.cheapest_only:
        return Tier.SIMPLE, Cause.BUDGET, "the tenant is near its budget"
    if session is not None and placed.tier < session.tier and not mix.at_bound(session.tier):
        stays = _stays(request, session, placed.tier, context)
        if stays is not None:
            return session.tier, *stays
    return placed.tier, *_placement_cause(placed, context.mode, score)


def _stays(request: Request, session: Session, mix_tier: Tier, context: RoutingContext) -> tuple[Cause, str] | None:
    """Why a conversation that could descend does not, or None when it does."""
    if holds_tier(session, mix_tier, context.now_s):
        return Cause.SESSION, f"the conversation stays with {session.tier.name.lower()} a while"
    if _saved_by_staying(request, session, mix_tier, context) >= 0:
        return Cause.WARM_CACHE, f"{session.model} is warm and no dearer than a cold cheaper model"
    return None


def _saved_by_staying(request: Request, session: Session, tier: Tier, context: RoutingContext) -> int:
    """Micro-USD that this turn costs less with the conversation's own warm model than with the first one of `tier`."""
    own = context.table.models.get(session.model)
    other = next((c for c in _of(context, tier) if context.usable(c) is None and c.in_service(context.now_s)), None)
    if own is None or other is None or not session.warm_tokens(session.model, context.now_s):
        return -1
    return estimate_micro_usd(request, other, context) - estimate_micro_usd(request, own, context)


def _placement_cause(placed: Placement, mode: MixMode, score: float) -> tuple[Cause, str]:
    if placed.moved:
        return Cause.MIX, f"{placed.score_tier.name.lower()} by its score, moved to hold the {mode.value} of the tiers"
    if mode is MixMode.SHARE:
        return Cause.SCORE, f"score {score:.2f} ranks {placed.rank:.0%} among recent ones"
    return Cause.SCORE, f"score {score:.2f} against fixed cuts"


@dataclass(frozen=True, slots=True)
class _Eligibility:
    """Whether a candidate can serve the request at all. Each is looked at once and asked after often."""

    request: Request
    context: RoutingContext
    _found: dict[str, str | None] = field(default_factory=dict[str, "str | None"])

    def problem(self, candidate: Candidate) -> str | None:
        if candidate.alias not in self._found:
            self._found[candidate.alias] = self._problem(candidate)
        return self._found[candidate.alias]

    def _problem(self, candidate: Candidate) -> str | None:
        if not candidate.in_service(self.context.now_s):
            return "its vendor has taken it out of service"
        lacking = self.request.required_capabilities - candidate.capabilities
        if lacking:
            return f"cannot do {', '.join(sorted(lacking))}"
        tokens = self.request.prompt_tokens
        if tokens + self.request.max_output_tokens > candidate.context_window_tokens:
            return f"the prompt of about {tokens} tokens is longer than its window"
        return self.context.usable(candidate)


def _away(candidate: Candidate, context: RoutingContext) -> bool:
    return not candidate.in_service(context.now_s) or context.usable(candidate) is not None


def _of(context: RoutingContext, tier: Tier) -> tuple[Candidate, ...]:
    return tuple(context.table.candidates(tier))


def _candidates(request: Request, tier: Tier, context: RoutingContext, fit: _Eligibility) -> tuple[Candidate, ...]:
    if request.pin_model:
        pinned = context.table.models[request.pin_model]
        return (pinned,) if fit.problem(pinned) is None else ()
    seen: dict[str, Candidate] = {}
    for other in _TIER_UP_THEN_DOWN[tier]:
        for candidate in _of(context, other):
            if candidate.alias not in seen and fit.problem(candidate) is None:
                seen[candidate.alias] = candidate
    # The embedded answerer is no model: it speaks when nothing else can, whatever the tier.
    ordered = sorted(seen.values(), key=lambda c: c.provider == "embedded")
    session = context.session
    first = _warmest(request, tier, context, ordered) if session is not None else None
    if first is not None:
        ordered.sort(key=lambda c: c is not first)
    return tuple(ordered)


def _warmest(request: Request, tier: Tier, context: RoutingContext, ordered: Sequence[Candidate]) -> Candidate | None:
    """Whom of the tier to ask before its first: the conversation's own model, or one a warm cache makes cheaper."""
    session, own = context.session, [c for c in ordered if c.alias in context.table.tiers[tier]]
    if session is not None and request.awaits_tool_result:
        # Whoever called the tool, also where it stood in for another tier.
        return next((c for c in ordered if c.alias == session.model), None)
    if session is None or not own:
        return None
    if session.tier is tier:
        # It knows its own signatures, and its cache is warm; a sibling of the tier would start cold.
        return next((c for c in own if c.alias == session.model), None)
    warm = [c for c in own if session.warm_tokens(c.alias, context.now_s)]
    cheapest = min((own[0], *warm), key=lambda c: estimate_micro_usd(request, c, context))
    return None if cheapest is own[0] else cheapest


def _nothing_serves(request: Request, context: RoutingContext, fit: _Eligibility) -> NoCapableModel | AllModelsFailed:
    asked = [context.table.models[request.pin_model]] if request.pin_model else context.table.models.values()
    problems = {c.alias: fit.problem(c) or "" for c in asked}
    resting = {alias: "breaker_open" for alias, problem in problems.items() if problem == BREAKER_OPEN}
    if resting:
        return AllModelsFailed(resting)
    told = "; ".join(f"{alias} {problem}" for alias, problem in problems.items())
    return NoCapableModel(f"no model serves this request: {told}")


def _alternatives(
    tier: Tier,
    candidates: tuple[Candidate, ...],
    context: RoutingContext,
    fit: _Eligibility,
    estimates: Mapping[str, int],
) -> list[Alternative]:
    found: list[Alternative] = []
    for other in Tier:
        for candidate in _of(context, other):
            if candidate.alias == candidates[0].alias and other is tier:
                continue
            why = fit.problem(candidate) or _place(candidate, other is tier, candidates)
            found.append(Alternative(other, candidate.alias, estimates[candidate.alias], why))
    return found


def _place(candidate: Candidate, same_tier: bool, candidates: tuple[Candidate, ...]) -> str:
    if candidate not in candidates:
        return "the caller pinned another"
    return f"number {candidates.index(candidate) + 1} in line" if same_tier else "in another tier"


def estimate_micro_usd(request: Request, candidate: Candidate, context: RoutingContext) -> int:
    """What `candidate` would charge for this turn, in micro-USD, with its prefix warm or cold as the session knows."""
    prompt = request.prompt_tokens
    price = candidate.price(context.now_s, prompt)
    usage = Usage(input_tokens=prompt, output_tokens=request.max_output_tokens or EXPECTED_OUTPUT_TOKENS)
    if candidate.cache != "none" and prompt >= candidate.cache_prefix_tokens_min:
        session = context.session
        warm = session.warm_tokens(candidate.alias, context.now_s) if session else 0
        cached = min(warm, prompt)
        written = max(request.prefix_tokens - cached, 0) if candidate.cache == "explicit" else 0
        fresh = max(prompt - cached - written, 0)
        usage = replace(usage, input_tokens=fresh, cached_input_tokens=cached, cache_write_5m_tokens=written)
    return cost_micro_usd(usage, price)

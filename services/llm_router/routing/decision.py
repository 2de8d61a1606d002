"""Decides the tier of a request, the order of its candidate models, and the reasons. Start at `decide`.

Rules in order: a pinned model, a pinned tier, an open tool call, a nearly spent budget, the session, and the tier mix
over the complexity score. Gates (capabilities, context window, end of life, availability, circuit breaker) do not
change the score: they remove candidates, and the tier moves up, then down, where none is left.
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

# Output tokens assumed for cost estimates: voice answers typically have 60, long ones 150.
EXPECTED_OUTPUT_TOKENS = 100
REASONS_MAX = 6
_TIER_UP_THEN_DOWN = {
    Tier.SIMPLE: (Tier.SIMPLE, Tier.MODERATE, Tier.COMPLEX),
    Tier.MODERATE: (Tier.MODERATE, Tier.COMPLEX, Tier.SIMPLE),
    Tier.COMPLEX: (Tier.COMPLEX, Tier.MODERATE, Tier.SIMPLE),
}

BREAKER_OPEN = "its circuit breaker is open"
END_OF_LIFE = "it is past its vendor's end-of-life date"
# Returns None when the candidate may be tried now, else the reason (no key, breaker open).
Usable = Callable[[Candidate], str | None]


class Cause(StrEnum):
    """The rule that decided the tier."""

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


# Causes that are not counted in the shares (nor are gates). BUDGET: counted, its simple answers would be paid back with
# expensive ones once the budget resets.
EXEMPT = frozenset({Cause.PINNED_MODEL, Cause.PINNED_TIER, Cause.OPEN_TOOL_CALL, Cause.BUDGET})


@dataclass(frozen=True, slots=True)
class Alternative:
    """A candidate that is not tried first, its estimated cost in micro-USD, and the reason."""

    tier: Tier
    model: str
    cost_micro_usd: int
    why_not: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The tier, its cause, the candidates in the order of trying, and the reasons, strongest first.

    `mix_tier` is the tier in which the mix placed the score. `counted` is the tier to count in the mix; None where a
    gate or a pin decided. `estimates` are micro-USD by alias; `warm_tokens` are tokens in the prompt cache of each
    model, by alias.
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
    """The inputs of a decision besides the request.

    `now_s` is Unix seconds; `tie` (0..1) orders equal scores; `cheapest_only` is set near the end of the budget.
    """

    table: TierTable
    now_s: float
    mode: MixMode
    tie: float
    usable: Usable
    session: Session | None = None
    cheapest_only: bool = False


def decide(request: Request, complexity: Complexity, mix: TierMix, context: RoutingContext) -> Decision:
    """Decide the tier and the candidates of `request`. Reads the mix without counting.

    Args:
        request: A validated request.
        complexity: Its score.
        mix: Recent scores and counts of the tenant.
        context: Tier table, time, session and availability.

    Returns:
        At least one candidate, best first.

    Raises:
        NoCapableModel: No model of the table can serve the request.
        AllModelsFailed: Capable models exist, and the circuit breakers of all of them are open.
    """
    if request.pin_model and request.pin_model not in context.table.models:
        # The alias was valid when the request was read; the table was reloaded since.
        raise NoCapableModel(f"{request.pin_model} is no longer in the tiers file; see ListModels for the aliases")
    eligibility = _Eligibility(request, context)
    placement = mix.place(complexity.score, context.mode, context.tie)
    tier, cause, detail = _tier(request, placement, complexity.score, mix, context)
    nearest = next(
        (t for t in _TIER_UP_THEN_DOWN[tier] if any(eligibility.problem(c) is None for c in _in_tier(context, t))), None
    )
    counted = None if cause in EXEMPT else tier
    if nearest is not None and nearest is not tier:
        # A tier without any available model still counts where it was placed. Uncounted, its deficit would grow without
        # bound and, once it is back, draw all traffic.
        unavailable = all(_is_unavailable(c, context) for c in _in_tier(context, tier))
        cause, counted = (Cause.TIER_AWAY, counted) if unavailable else (Cause.GATE, None)
        detail = f"no model of {tier.name.lower()} is available {'now' if unavailable else 'for this request'}"
        tier = nearest
    candidates = _candidates(request, tier, context, eligibility)
    if not candidates:
        raise _no_candidate_error(request, context, eligibility)
    estimates = {c.alias: estimate_micro_usd(request, c, context) for c in context.table.models.values()}
    reasons = (Contribution(cause.value, 0.0, detail), *complexity.contributions[:REASONS_MAX])
    alternatives = tuple(_alternatives(tier, candidates, context, eligibility, estimates))
    return Decision(
        tier=tier,
        mix_tier=placement.tier,
        counted=counted,
        cause=cause,
        candidates=candidates,
        score=complexity.score,
        features=complexity.features,
        reasons=reasons,
        alternatives=alternatives,
        estimates=estimates,
        warm_tokens={} if context.session is None else context.session.warm_caches(context.now_s),
        mode=context.mode,
    )


def _tier(
    request: Request, placement: Placement, score: float, mix: TierMix, context: RoutingContext
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
    if session is not None and placement.tier < session.tier and not mix.at_bound(session.tier):
        stay_reason = _stay_reason(request, session, placement.tier, context)
        if stay_reason is not None:
            return session.tier, *stay_reason
    return placement.tier, *_placement_cause(placement, context.mode, score)


def _stay_reason(
    request: Request, session: Session, mix_tier: Tier, context: RoutingContext
) -> tuple[Cause, str] | None:
    """Return why a conversation that could descend to a cheaper tier stays, or None."""
    if holds_tier(session, mix_tier, context.now_s):
        return Cause.SESSION, f"the conversation stays in {session.tier.name.lower()} for its first easier turns"
    if _saved_by_staying(request, session, mix_tier, context) >= 0:
        return Cause.WARM_CACHE, f"{session.model} has a warm cache and costs no more than a cheaper model without one"
    return None


def _saved_by_staying(request: Request, session: Session, tier: Tier, context: RoutingContext) -> int:
    """Return the micro-USD saved on this turn by the session's warm model against the first model of `tier`."""
    warm_model = context.table.models.get(session.model)
    cheaper = next(
        (c for c in _in_tier(context, tier) if context.usable(c) is None and c.in_service(context.now_s)), None
    )
    if warm_model is None or cheaper is None or not session.warm_tokens(session.model, context.now_s):
        return -1
    return estimate_micro_usd(request, cheaper, context) - estimate_micro_usd(request, warm_model, context)


def _placement_cause(placement: Placement, mode: MixMode, score: float) -> tuple[Cause, str]:
    if placement.moved:
        return (
            Cause.MIX,
            f"{placement.score_tier.name.lower()} by its score, moved to hold the {mode.value} of the tiers",
        )
    if mode is MixMode.SHARE:
        return Cause.SCORE, f"score {score:.2f} ranks {placement.rank:.0%} among recent ones"
    return Cause.SCORE, f"score {score:.2f} against fixed cuts"


@dataclass(frozen=True, slots=True)
class _Eligibility:
    """Whether each candidate can serve the request; evaluated once for each candidate."""

    request: Request
    context: RoutingContext
    _problems: dict[str, str | None] = field(default_factory=dict[str, "str | None"])

    def problem(self, candidate: Candidate) -> str | None:
        if candidate.alias not in self._problems:
            self._problems[candidate.alias] = self._problem(candidate)
        return self._problems[candidate.alias]

    def _problem(self, candidate: Candidate) -> str | None:
        if not candidate.in_service(self.context.now_s):
            return END_OF_LIFE
        lacking = self.request.required_capabilities - candidate.capabilities
        if lacking:
            return f"cannot do {', '.join(sorted(lacking))}"
        tokens = self.request.prompt_tokens
        if tokens + self.request.max_output_tokens > candidate.context_window_tokens:
            return f"the prompt of about {tokens} tokens is longer than its window"
        return self.context.usable(candidate)


def _is_unavailable(candidate: Candidate, context: RoutingContext) -> bool:
    return not candidate.in_service(context.now_s) or context.usable(candidate) is not None


def _in_tier(context: RoutingContext, tier: Tier) -> tuple[Candidate, ...]:
    return tuple(context.table.candidates(tier))


def _candidates(
    request: Request, tier: Tier, context: RoutingContext, eligibility: _Eligibility
) -> tuple[Candidate, ...]:
    if request.pin_model:
        pinned = context.table.models[request.pin_model]
        return (pinned,) if eligibility.problem(pinned) is None else ()
    eligible: dict[str, Candidate] = {}
    for other in _TIER_UP_THEN_DOWN[tier]:
        for candidate in _in_tier(context, other):
            if candidate.alias not in eligible and eligibility.problem(candidate) is None:
                eligible[candidate.alias] = candidate
    # The embedded answerer is not a model: it is the last candidate of every tier.
    ordered = sorted(eligible.values(), key=lambda c: c.provider == "embedded")
    session = context.session
    first = _warmest(request, tier, context, ordered) if session is not None else None
    if first is not None:
        ordered.sort(key=lambda c: c is not first)
    return tuple(ordered)


def _warmest(request: Request, tier: Tier, context: RoutingContext, ordered: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate to try first instead of the tier's first, or None.

    It is the session's model, or one that a warm cache makes cheaper.
    """
    session, in_tier = context.session, [c for c in ordered if c.alias in context.table.tiers[tier]]
    if session is not None and request.awaits_tool_result:
        # The model that called the tool, also where it stood in for another tier.
        return next((c for c in ordered if c.alias == session.model), None)
    if session is None or not in_tier:
        return None
    if session.tier is tier:
        # It accepts its own thought signatures and has a warm cache; others of the tier would start cold.
        return next((c for c in in_tier if c.alias == session.model), None)
    warm = [c for c in in_tier if session.warm_tokens(c.alias, context.now_s)]
    cheapest = min((in_tier[0], *warm), key=lambda c: estimate_micro_usd(request, c, context))
    return None if cheapest is in_tier[0] else cheapest


def _no_candidate_error(
    request: Request, context: RoutingContext, eligibility: _Eligibility
) -> NoCapableModel | AllModelsFailed:
    considered = [context.table.models[request.pin_model]] if request.pin_model else context.table.models.values()
    problems = {c.alias: eligibility.problem(c) or "" for c in considered}
    open_breakers = {alias: "breaker_open" for alias, problem in problems.items() if problem == BREAKER_OPEN}
    if open_breakers:
        return AllModelsFailed(open_breakers)
    details = "; ".join(f"{alias} {problem}" for alias, problem in problems.items())
    return NoCapableModel(f"no model serves this request: {details}")


def _alternatives(
    tier: Tier,
    candidates: tuple[Candidate, ...],
    context: RoutingContext,
    eligibility: _Eligibility,
    estimates: Mapping[str, int],
) -> list[Alternative]:
    alternatives: list[Alternative] = []
    for other in Tier:
        for candidate in _in_tier(context, other):
            if candidate.alias == candidates[0].alias and other is tier:
                continue
            reason = eligibility.problem(candidate) or _position(candidate, other is tier, candidates)
            alternatives.append(Alternative(other, candidate.alias, estimates[candidate.alias], reason))
    return alternatives


def _position(candidate: Candidate, same_tier: bool, candidates: tuple[Candidate, ...]) -> str:
    if candidate not in candidates:
        return "the caller pinned another model"
    return f"number {candidates.index(candidate) + 1} in line" if same_tier else "in another tier"


def estimate_micro_usd(request: Request, candidate: Candidate, context: RoutingContext) -> int:
    """Estimate the cost of this turn with `candidate` in micro-USD, given what its prompt cache holds."""
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

"""Admits a request: tenant policy, budget, rate limits and the routing decision, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from hocket.chassis import identity
from services.llm_router.billing.budget import BudgetStanding, until_midnight_s
from services.llm_router.catalog.tenant_policy import TenantPolicy
from services.llm_router.chat.request import MixMode, Request
from services.llm_router.errors import BudgetExhausted
from services.llm_router.ports import RouterPorts
from services.llm_router.routing.complexity import Scorer
from services.llm_router.routing.decision import Decision, RoutingContext, Usable, decide
from services.llm_router.routing.sessions import Session
from services.llm_router.routing.tier_mix import TierMix, tie_break


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may run, and its decision.

    `arrived_s` is monotonic time in seconds; `charged_tokens` are the prompt tokens already charged to `llm_tokens`.
    """

    request: Request
    decision: Decision
    session: Session | None
    arrived_s: float
    charged_tokens: int


class RequestAdmission:
    """Decides whether and where a request of the calling tenant runs."""

    def __init__(
        self, ports: RouterPorts, scorer: Scorer, usable: Usable, *, mode: MixMode, budget_micro_usd: int
    ) -> None:
        """Use `mode` and `budget_micro_usd` (a day, 0 unlimited) for tenants of which the tiers file names none."""
        self._ports = ports
        self._scorer = scorer
        self._usable = usable
        self._mode = mode
        self._budget_micro_usd = budget_micro_usd

    async def admit(self, request: Request, use: str) -> Admitted:
        """Charge the request to the limits of the tenant and decide its tier.

        Args:
            request: A validated request.
            use: Name of the mix to count in: "generate" or "route".

        Raises:
            ResourceExhausted: The budget or a rate limit of the tenant is used up.
            NoCapableModel: No model can serve the request.
            AllModelsFailed: The circuit breakers of all capable models are open.
        """
        arrived_s = self._ports.clock.monotonic()
        policy = self._policy()
        near_budget = self._check_budget(policy)
        prompt_tokens = request.prompt_tokens
        await self._ports.limits.require_request(prompt_tokens)
        decision, session = await self._decide(request, policy, use, cheapest_only=near_budget)
        return Admitted(request, decision, session, arrived_s, prompt_tokens)

    async def decide(self, request: Request, use: str) -> tuple[Decision, Session | None]:
        """Check the budget and decide, without charging rate limits. Raises as `admit`, except for rate limits."""
        policy = self._policy()
        return await self._decide(request, policy, use, cheapest_only=self._check_budget(policy))

    def _policy(self) -> TenantPolicy:
        caller = identity.current()
        return self._ports.tables.current.policy_of(
            caller.tenant_id, caller.tenant_tier, mode=self._mode, budget_micro_usd=self._budget_micro_usd
        )

    def _check_budget(self, policy: TenantPolicy) -> bool:
        """Return True when the tenant is near its budget. Raises BudgetExhausted when the budget is spent."""
        standing = self._ports.budgets.standing(identity.current().tenant_id, policy.budget_micro_usd)
        if standing is BudgetStanding.SPENT:
            raise BudgetExhausted(
                f"the tenant's budget of {policy.budget_micro_usd} micro-USD for the day is spent; it resets at"
                " midnight UTC",
                retry_after_s=until_midnight_s(self._ports.clock.time()),
            )
        return standing is BudgetStanding.NEAR

    async def _decide(
        self, request: Request, policy: TenantPolicy, use: str, *, cheapest_only: bool
    ) -> tuple[Decision, Session | None]:
        ports, caller = self._ports, identity.current()
        table, mode = ports.tables.current, request.mix_mode or policy.mode
        session = None
        if request.conversation_id:
            session = await ports.state.load_session(caller.tenant_id, request.conversation_id)
        complexity = self._scorer.score(request)
        mix = await ports.state.mix(caller.tenant_id, mode, use, policy.shares)
        context = RoutingContext(
            table,
            ports.clock.time(),
            mode,
            tie_break(mix.total),
            self._usable,
            session,
            cheapest_only=cheapest_only,
        )
        # No await between reading the mix and counting in it: requests that start together would read the same counts.
        decision = decide(request, complexity, mix, context)
        self._count(mix, decision, mode, use)
        return decision, session

    def _count(self, mix: TierMix, decision: Decision, mode: MixMode, use: str) -> None:
        # Gates and pins are not counted in the shares; `hocket_llm_router_routes` counts them by cause.
        if decision.counted is not None:
            mix.count(decision.score, decision.counted)
            tenant_id = identity.current().tenant_id
            self._ports.state.count(tenant_id, mode, use, mix.shares, decision.counted)

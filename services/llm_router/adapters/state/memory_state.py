"""State of this process: mixes, sessions and breakers in memory, bounded, oldest evicted first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from services.llm_router.chat.request import MixMode, Tier
from services.llm_router.routing.circuit_breaker import ModelCircuitBreaker
from services.llm_router.routing.sessions import Session
from services.llm_router.routing.tier_mix import TierMix

MIXES_MAX = 10_000
SESSIONS_MAX = 50_000
MixKey = tuple[str, MixMode, str]


class MemoryState:
    """Implements `SharedState` in memory."""

    def __init__(self, on_evict: Callable[[MixKey, TierMix], None] = lambda _key, _mix: None) -> None:
        """Call `on_evict` with each evicted mix."""
        self._forgotten = on_evict
        self.breakers: dict[str, ModelCircuitBreaker] = {}
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._mixes: OrderedDict[MixKey, TierMix] = OrderedDict()
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    async def load_session(self, tenant_id: str, conversation_id: str) -> Session | None:
        """Return the session, or None."""
        return self._sessions.get((tenant_id, conversation_id))

    def store_session(self, tenant_id: str, conversation_id: str, session: Session) -> None:
        """Store the session."""
        key = (tenant_id, conversation_id)
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)

    def store_text(self, name: str, text: str) -> None:
        """Store `text`."""
        self._texts[name] = text
        if len(self._texts) > SESSIONS_MAX:
            self._texts.popitem(last=False)

    async def load_text(self, name: str) -> str | None:
        """Return the stored text, or None."""
        return self._texts.get(name)

    async def mix(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float]) -> TierMix:
        """Return the mix; a new one when the shares have changed."""
        key = (tenant_id, mode, use)
        mix = self._mixes.get(key)
        if mix is None or mix.shares != shares:
            if mix is not None:
                self._forgotten(key, mix)
            mix = self._mixes[key] = TierMix(shares)
        self._mixes.move_to_end(key)
        if len(self._mixes) > MIXES_MAX:
            self._forgotten(*self._mixes.popitem(last=False))
        return mix

    def count(self, tenant_id: str, mode: MixMode, use: str, shares: Mapping[Tier, float], tier: Tier) -> None:
        """Do nothing: there are no other replicas."""

    def set_local_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker."""
        self.breakers[name] = breaker

    def publish_breaker(self, name: str, breaker: ModelCircuitBreaker) -> None:
        """Set a breaker."""
        self.breakers[name] = breaker

    async def claim_probe(self, name: str, opened_until_s: float) -> bool:  # noqa: ARG002 - part of the port
        """Return True: there are no other replicas."""
        return True

"""Which providers this process has: one pooled client for each vendor whose key or address is set."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

from hocket.chassis.clock import Clock
from services.llm_router.adapters.mesh.cache_costs import CacheCosts
from services.llm_router.adapters.vendors.embedded_provider import EmbeddedProvider
from services.llm_router.ports import Ledger, Provider, Tables


@dataclass(frozen=True, slots=True)
class VendorAccess:
    """Keys and addresses; None where a vendor is not configured."""

    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    gemini_api_key: str | None = None
    gemini_base_url: str | None = None
    openai_base_url: str | None = None
    openai_api_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells sets of keys apart without telling a key."""
        keys = "|".join(k or "" for k in (self.anthropic_api_key, self.gemini_api_key, self.openai_api_key))
        return hashlib.sha256(keys.encode()).hexdigest()[:12]


def open_providers(
    access: VendorAccess, clock: Clock, ledger: Ledger, tables: Tables, resources: AsyncExitStack
) -> dict[str, Provider]:
    """The providers by name, the embedded one always; `resources` closes them.

    `ledger` books caches that they make, in the tiers of `tables`.
    """
    providers: dict[str, Provider] = {"embedded": EmbeddedProvider(clock)}
    # Each SDK costs 40 to 150 MB and a second of start: only what is configured is imported.
    if access.anthropic_api_key:
        from services.llm_router.adapters.vendors.anthropic_provider import AnthropicProvider  # noqa: PLC0415 - as said

        providers["anthropic"] = AnthropicProvider(access.anthropic_api_key, access.anthropic_base_url, clock)
    if access.gemini_api_key:
        from services.llm_router.adapters.vendors.gemini_provider import GeminiProvider  # noqa: PLC0415 - as said

        providers["gemini"] = GeminiProvider(
            access.gemini_api_key, access.gemini_base_url, clock, CacheCosts(ledger, tables, clock)
        )
    if access.openai_base_url:
        from services.llm_router.adapters.vendors.openai_provider import OpenAiProvider  # noqa: PLC0415 - as said

        providers["openai"] = OpenAiProvider(access.openai_base_url, access.openai_api_key, clock)
    for provider in providers.values():
        resources.push_async_callback(provider.close)
    return providers

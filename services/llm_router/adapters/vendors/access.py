"""Opens one pooled client for each vendor whose key or base URL is configured."""

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
    """API keys and base URLs; None where a vendor is not configured."""

    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    gemini_api_key: str | None = None
    gemini_base_url: str | None = None
    openai_base_url: str | None = None
    openai_api_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Identifies a set of keys without revealing them."""
        keys = "|".join(k or "" for k in (self.anthropic_api_key, self.gemini_api_key, self.openai_api_key))
        return hashlib.sha256(keys.encode()).hexdigest()[:12]


def open_providers(
    access: VendorAccess, clock: Clock, ledger: Ledger, tables: Tables, resources: AsyncExitStack
) -> dict[str, Provider]:
    """Return the providers by name, always including "embedded"; `resources` closes them.

    `ledger` and `tables` serve the costs of explicit caches.
    """
    providers: dict[str, Provider] = {"embedded": EmbeddedProvider(clock)}
    # Each SDK takes 40 to 150 MB and a second to import: only configured ones are imported.
    if access.anthropic_api_key:
        from services.llm_router.adapters.vendors.anthropic_provider import AnthropicProvider  # noqa: PLC0415 - see above

        providers["anthropic"] = AnthropicProvider(access.anthropic_api_key, access.anthropic_base_url, clock)
    if access.gemini_api_key:
        from services.llm_router.adapters.vendors.gemini_provider import GeminiProvider  # noqa: PLC0415 - see above

        providers["gemini"] = GeminiProvider(
            access.gemini_api_key, access.gemini_base_url, clock, CacheCosts(ledger, tables, clock)
        )
    if access.openai_base_url:
        from services.llm_router.adapters.vendors.openai_provider import OpenAiProvider  # noqa: PLC0415 - see above

        providers["openai"] = OpenAiProvider(access.openai_base_url, access.openai_api_key, clock)
    for provider in providers.values():
        resources.push_async_callback(provider.close)
    return providers

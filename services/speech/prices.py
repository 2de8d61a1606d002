"""What an engine's work costs: price rows as data, in millionths of a US dollar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Price of one model. `per` counts milliseconds of audio (listening) or characters (speaking)."""

    provider: str
    model: str
    since: str
    micro_usd: int
    per: int

    @property
    def name(self) -> str:
        """How the ledger names the row, for instance "flux-general-en@2026-11-01"."""
        return f"{self.model}@{self.since}"

    def cost_micro_usd(self, quantity: int) -> int:
        """Price of `quantity` units, rounded down; take it from running totals, so that slices add up to the whole."""
        return self.micro_usd * quantity // self.per


MINUTE_MS = 60_000
THOUSAND_CHARACTERS = 1_000

# List prices of pay-as-you-go plans as third parties quoted them in 2026. Contracts differ: settings override them.
PRICE_ROWS = (
    PriceRow("deepgram", "flux-general-en", "2026-11-01", 6_500, MINUTE_MS),
    PriceRow("deepgram", "flux-general-multi", "2026-11-01", 7_800, MINUTE_MS),
    PriceRow("elevenlabs", "eleven_flash_v2_5", "2026-11-01", 50_000, THOUSAND_CHARACTERS),
    PriceRow("elevenlabs", "eleven_turbo_v2_5", "2026-11-01", 50_000, THOUSAND_CHARACTERS),
    PriceRow("elevenlabs", "eleven_multilingual_v2", "2026-11-01", 100_000, THOUSAND_CHARACTERS),
)


def price_of(provider: str, model: str, *, override_micro_usd: int | None, per: int) -> PriceRow:
    """The row of a model; an override replaces its price, and an unknown model without one raises ValueError."""
    if override_micro_usd is not None:
        return PriceRow(provider, model, "settings", override_micro_usd, per)
    for row in PRICE_ROWS:
        if (row.provider, row.model) == (provider, model):
            return row
    raise ValueError(f"no price is known for {provider} {model}: set its price in the settings")


def free(provider: str, model: str, *, per: int) -> PriceRow:
    """The row of an engine that runs here and costs nothing a call."""
    return PriceRow(provider, model, "embedded", 0, per)

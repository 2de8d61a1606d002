"""Prices of the engines: rows of data in millionths of a US dollar (micro-USD)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Price of one model: `micro_usd` for `per` units (milliseconds of audio in, or characters of text)."""

    provider: str
    model: str
    since: str
    micro_usd: int
    per: int

    @property
    def name(self) -> str:
        """Name of the row in the ledger, for instance "flux-general-en@2026-11-01"."""
        return f"{self.model}@{self.since}"

    def cost_micro_usd(self, quantity: int) -> int:
        """Return the price of `quantity` units, rounded down.

        Take differences of running totals instead of pricing slices: rounded slices would not add up to the whole.
        """
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
    """Return the price row of a model.

    Args:
        provider: Vendor id, for instance "deepgram".
        model: The vendor's name of the model.
        override_micro_usd: Contract price of `per` units in micro-USD; None for the list price.
        per: Units that `override_micro_usd` pays for.

    Raises:
        ValueError: The model has no list price and no override.
    """
    if override_micro_usd is not None:
        return PriceRow(provider, model, "settings", override_micro_usd, per)
    for row in PRICE_ROWS:
        if (row.provider, row.model) == (provider, model):
            return row
    raise ValueError(f"no price is known for {provider} {model}: set its price in the settings")


def free(provider: str, model: str, *, per: int) -> PriceRow:
    """Return the row of an engine that runs in this process and costs nothing per call."""
    return PriceRow(provider, model, "embedded", 0, per)

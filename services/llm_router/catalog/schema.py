"""Schema of the tiers file: turns parsed TOML into a `TierTable`; each error names the path of the entry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hocket.chassis.identity import TENANT_TIERS
from services.llm_router.catalog.tenant_policy import TenantPolicyOverride
from services.llm_router.catalog.tiers import Cache, Candidate, PriceRow, TableError, Thinking, TierTable
from services.llm_router.chat.request import MixMode, Tier

_MICRO = 1_000_000
# Higher values are prices for a single token, or a wrong exponent.
USD_MAX = 1_000_000
SHARES_SLACK = 1e-6


def _whole_micro(usd: Decimal) -> Decimal:
    if usd * _MICRO != int(usd * _MICRO):
        raise ValueError("must not be finer than a millionth of a US dollar")
    return usd


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("must name each once")
    return names


def _tenant_tier(name: str) -> str:
    if name not in TENANT_TIERS:
        raise ValueError(f"must be one of {', '.join(TENANT_TIERS)}, as in tokens")
    return name


# TOML floats are parsed as Decimal, so that no price is rounded.
Usd = Annotated[Decimal, Field(strict=False, ge=0, le=USD_MAX), AfterValidator(_whole_micro)]
Share = Annotated[float, Field(strict=False, ge=0, le=1, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=1)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]
Alias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:-]{0,63}$")]
TenantTier = Annotated[str, AfterValidator(_tenant_tier)]
Capability = Literal["text", "vision", "tools", "json_schema", "cache"]


class _Entry(BaseModel):
    """A table of the file. Strict: numbers in quotes and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Price(_Entry):
    valid_from: datetime | date
    prompt_tokens_max: Whole | None = None
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write_5m: Usd | None = None
    cache_write_1h: Usd | None = None
    storage_per_hour: Usd = Decimal(0)

    def row(self, alias: str) -> PriceRow:
        since = _moment(self.valid_from)
        band = f"<={self.prompt_tokens_max}" if self.prompt_tokens_max else ""
        return PriceRow(
            name=f"{alias}@{datetime.fromtimestamp(since, UTC):%Y-%m-%d}{band}",
            valid_from_s=since,
            input=_micro(self.input),
            output=_micro(self.output),
            cached_input=_micro(self.cached_input, self.input),
            cache_write_5m=_micro(self.cache_write_5m, self.input),
            cache_write_1h=_micro(self.cache_write_1h, self.input),
            storage_per_hour=_micro(self.storage_per_hour),
            prompt_tokens_max=self.prompt_tokens_max,
        )


class _Model(_Entry):
    provider: Literal["anthropic", "gemini", "openai", "embedded"]
    vendor_model: str
    capabilities: list[Capability]
    context_window_tokens: Whole
    output_tokens_max: Whole
    cache: Cache = "none"
    cache_prefix_tokens_min: Annotated[int, Field(ge=0)] = 0
    end_of_life: datetime | date | None = None
    thinking: Thinking = ""
    prices: Annotated[list[_Price], Field(min_length=1)]

    def candidate(self, alias: str) -> Candidate:
        return Candidate(
            alias=alias,
            provider=self.provider,
            vendor_model=self.vendor_model,
            capabilities=frozenset[str](self.capabilities) | {"text"},
            context_window_tokens=self.context_window_tokens,
            output_tokens_max=self.output_tokens_max,
            prices=tuple(price.row(alias) for price in self.prices),
            cache=self.cache,
            cache_prefix_tokens_min=self.cache_prefix_tokens_min,
            end_of_life_s=None if self.end_of_life is None else _moment(self.end_of_life),
            thinking=self.thinking,
        )


class _Tier(_Entry):
    share: Share
    models: Names


class _Tiers(_Entry):
    simple: _Tier
    moderate: _Tier
    complex: _Tier

    @property
    def by_tier(self) -> dict[Tier, _Tier]:
        return {Tier.SIMPLE: self.simple, Tier.MODERATE: self.moderate, Tier.COMPLEX: self.complex}


class _Shares(_Entry):
    simple: Share
    moderate: Share
    complex: Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_sum(self.simple, self.moderate, self.complex)
        return self


class _TenantPolicy(_Entry):
    mix_mode: Literal["share", "cap", "quality"] | None = None
    shares: _Shares | None = None
    budget_usd_per_day: Usd | None = None

    @property
    def change(self) -> TenantPolicyOverride:
        shares = self.shares
        return TenantPolicyOverride(
            mode=None if self.mix_mode is None else MixMode(self.mix_mode),
            shares=None
            if shares is None
            else {Tier.SIMPLE: shares.simple, Tier.MODERATE: shares.moderate, Tier.COMPLEX: shares.complex},
            budget_micro_usd=None if self.budget_usd_per_day is None else _micro(self.budget_usd_per_day),
        )


class _Table(_Entry):
    version: str
    tiers: _Tiers
    models: dict[Alias, _Model]
    tenant_tiers: dict[TenantTier, _TenantPolicy] = {}
    tenants: dict[str, _TenantPolicy] = {}


def read_table(data: Mapping[str, Any]) -> TierTable:
    """Validate parsed TOML.

    Raises:
        TableError: Names the path of the first invalid entry.
    """
    try:
        table = _Table.model_validate(data)
    except ValidationError as error:
        raise _first_of(error) from error
    tiers = table.tiers.by_tier
    for alias, model in table.models.items():
        _check_model(alias, model)
    for name, tier in zip(("simple", "moderate", "complex"), tiers.values(), strict=True):
        for alias in tier.models:
            if alias not in table.models:
                raise TableError(("tiers", name, "models"), f"names {alias!r}, which [models] does not define")
    try:
        _check_sum(*(tier.share for tier in tiers.values()))
    except ValueError as error:
        raise TableError(("tiers",), str(error)) from error
    return TierTable(
        version=table.version,
        models={alias: model.candidate(alias) for alias, model in table.models.items()},
        tiers={tier: tuple(row.models) for tier, row in tiers.items()},
        shares={tier: row.share for tier, row in tiers.items()},
        tenant_tiers={name: policy.change for name, policy in table.tenant_tiers.items()},
        tenants={name: policy.change for name, policy in table.tenants.items()},
    )


def _first_of(error: ValidationError) -> TableError:
    first = error.errors()[0]
    message = {"extra_forbidden": "is not a known key", "missing": "is missing"}.get(first["type"], first["msg"])
    # An invalid key appears after its table's path, followed by pydantic's "[key]".
    return TableError(tuple(p for p in first["loc"] if p != "[key]"), message.removeprefix("Value error, "))


def _check_model(alias: str, model: _Model) -> None:
    path = ("models", alias)
    if not model.vendor_model and model.provider != "openai":
        raise TableError(
            (*path, "vendor_model"), "is empty: set the vendor's name of the model; only provider openai may omit it"
        )
    bands: dict[float, list[int | None]] = {}
    for number, price in enumerate(model.prices):
        held = bands.setdefault(_moment(price.valid_from), [])
        if price.prompt_tokens_max in held:
            raise TableError(
                (*path, "prices", number),
                "has the date and prompt_tokens_max of a row before it: remove one of them, or give it another date",
            )
        held.append(price.prompt_tokens_max)
    for number, price in enumerate(model.prices):
        if None not in bands[_moment(price.valid_from)]:
            raise TableError(
                (*path, "prices", number),
                "no row of this date covers longer prompts: add one without prompt_tokens_max",
            )


def _check_sum(*shares: float) -> None:
    if abs(sum(shares) - 1) > SHARES_SLACK:
        raise ValueError(f"the shares add up to {sum(shares):g}, not to 1")


def _micro(usd: Decimal | None, default: Decimal = Decimal(0)) -> int:
    return int((default if usd is None else usd) * _MICRO)


def _moment(day: datetime | date) -> float:
    """Return Unix seconds; a date, or a time without a zone, is UTC."""
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

"""The table of tiers: which models may answer, what they can do, what they cost and until when they live."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from services.llm_router.conversation import Tier

CAPABILITIES = frozenset({"text", "vision", "tools", "json_schema", "cache"})
PROVIDERS = ("anthropic", "gemini", "openai", "embedded")
END_OF_LIFE_WARNING_S = 60 * 86_400
Path = tuple[str | int, ...]
Cache = Literal["none", "implicit", "explicit"]
# How much a model may think before it speaks; empty leaves it to the vendor.
Thinking = Literal["", "off", "minimal", "low", "medium", "high"]
_ALIAS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:-]{0,63}")
_TIER_KEYS = {"simple": Tier.SIMPLE, "moderate": Tier.MODERATE, "complex": Tier.COMPLEX}


class TableError(ValueError):
    """The table is wrong at `path` (keys and indexes from its root)."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{'.'.join(str(p) for p in path)}: {problem}")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Prices in micro-USD for a million tokens (storage also for an hour), valid from a moment on.

    `prompt_tokens_max` is the longest prompt the row holds for; None for any.
    """

    name: str
    valid_from_s: float
    input: int
    output: int
    cached_input: int
    cache_write_5m: int
    cache_write_1h: int
    storage_per_hour: int = 0
    prompt_tokens_max: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer."""

    alias: str
    provider: str
    vendor_model: str
    capabilities: frozenset[str]
    context_window_tokens: int
    output_tokens_max: int
    prices: tuple[PriceRow, ...]
    cache: Cache = "none"
    cache_prefix_tokens_min: int = 0
    end_of_life_s: float | None = None
    thinking: Thinking = ""

    def price(self, now_s: float, prompt_tokens: int) -> PriceRow:
        """The newest row in force at `now_s` (Unix seconds) whose length band holds the prompt."""
        if len(self.prices) == 1:
            return self.prices[0]
        started = [p for p in self.prices if p.valid_from_s <= now_s] or [min(self.prices, key=_valid_from)]
        newest = max(p.valid_from_s for p in started)
        bands = sorted((p for p in started if p.valid_from_s == newest), key=_band)
        return next((p for p in bands if prompt_tokens <= _band(p)), bands[-1])

    def alive(self, now_s: float) -> bool:
        """Whether the vendor still serves it."""
        return self.end_of_life_s is None or now_s < self.end_of_life_s


def _valid_from(row: PriceRow) -> float:
    return row.valid_from_s


def _band(row: PriceRow) -> float:
    return float("inf") if row.prompt_tokens_max is None else row.prompt_tokens_max


@dataclass(frozen=True, slots=True)
class TierTable:
    """Tiers with the aliases of their candidates in order, their shares (sum 1), and the candidates."""

    version: str
    models: Mapping[str, Candidate]
    tiers: Mapping[Tier, tuple[str, ...]]
    shares: Mapping[Tier, float] = field(default_factory=dict[Tier, float])

    def candidates(self, tier: Tier) -> Iterator[Candidate]:
        """The candidates of `tier` in the order in which they are tried."""
        return (self.models[alias] for alias in self.tiers[tier])

    def tier_of(self, alias: str) -> Tier:
        """The cheapest tier that lists `alias`. Raises KeyError when none does."""
        for tier in Tier:
            if alias in self.tiers[tier]:
                return tier
        raise KeyError(alias)

    def ending(self, now_s: float) -> list[Candidate]:
        """Candidates in use that end within 60 days of `now_s`, or have ended."""
        used = {alias for aliases in self.tiers.values() for alias in aliases}
        return [
            m
            for m in self.models.values()
            if m.alias in used and m.end_of_life_s is not None and m.end_of_life_s - now_s < END_OF_LIFE_WARNING_S
        ]

    def served_as(self, provider: str, vendor_model: str) -> Candidate | None:
        """The candidate that the vendor names `vendor_model`, also with a date or build after its name."""
        named = [
            m
            for m in self.models.values()
            if m.provider == provider and m.vendor_model and vendor_model.startswith(m.vendor_model)
        ]
        return max(named, key=lambda m: len(m.vendor_model), default=None)

    def with_vendor_model(self, alias: str, vendor_model: str) -> TierTable:
        """The table with the vendor's name of one model replaced."""
        if alias not in self.models:
            return self
        return replace(self, models={**self.models, alias: replace(self.models[alias], vendor_model=vendor_model)})


def read_table(data: Mapping[str, Any]) -> TierTable:
    """The table in parsed TOML. Raises TableError naming the first entry that is wrong."""
    _known(data, (), {"version", "tiers", "models"})
    version = _text(data, (), "version")
    listed = _mapping(data, (), "models")
    models = {alias: _candidate(alias, _mapping(listed, ("models",), alias)) for alias in listed}
    tiers_data = _mapping(data, (), "tiers")
    _known(tiers_data, ("tiers",), set(_TIER_KEYS))
    tiers: dict[Tier, tuple[str, ...]] = {}
    shares: dict[Tier, float] = {}
    for key, tier in _TIER_KEYS.items():
        path: Path = ("tiers", key)
        row = _mapping(tiers_data, ("tiers",), key)
        _known(row, path, {"share", "models"})
        aliases = _texts(row, path, "models")
        for alias in aliases:
            if alias not in models:
                raise TableError((*path, "models"), f"names {alias!r}, which [models] does not define")
        if not aliases or len(set(aliases)) != len(aliases):
            raise TableError((*path, "models"), "must name at least one model, each once")
        tiers[tier] = tuple(aliases)
        shares[tier] = float(_number(row, path, "share"))
        if shares[tier] > 1:
            raise TableError((*path, "share"), "must be 0 to 1")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise TableError(("tiers",), f"the shares add up to {sum(shares.values()):g}, not to 1")
    return TierTable(version, models, tiers, shares)


def _candidate(alias: str, row: Mapping[str, Any]) -> Candidate:
    path: Path = ("models", alias)
    known = {"provider", "vendor_model", "capabilities", "context_window_tokens", "output_tokens_max", "prices"}
    _known(row, path, known | {"cache", "cache_prefix_tokens_min", "end_of_life", "thinking"})
    if not _ALIAS.fullmatch(alias):
        raise TableError(path, "an alias is 1 to 64 characters of [a-zA-Z0-9._:-]")
    provider = _text(row, path, "provider")
    if provider not in PROVIDERS:
        raise TableError((*path, "provider"), f"must be one of {', '.join(PROVIDERS)}")
    capabilities = frozenset(_texts(row, path, "capabilities"))
    if not capabilities <= CAPABILITIES or "text" not in capabilities:
        raise TableError((*path, "capabilities"), f"must hold text and may hold {', '.join(sorted(CAPABILITIES))}")
    cache = row.get("cache", "none")
    if cache not in ("none", "implicit", "explicit"):
        raise TableError((*path, "cache"), "must be none, implicit or explicit")
    thinking = row.get("thinking", "")
    if thinking not in ("", "off", "minimal", "low", "medium", "high"):
        raise TableError((*path, "thinking"), "must be off, minimal, low, medium or high")
    prices = cast("Sequence[Any]", row.get("prices") if isinstance(row.get("prices"), list) else ())
    if not prices:
        raise TableError((*path, "prices"), "must hold at least one row")
    return Candidate(
        alias=alias,
        provider=provider,
        vendor_model=_text(row, path, "vendor_model"),
        capabilities=capabilities,
        context_window_tokens=_whole(row, path, "context_window_tokens"),
        output_tokens_max=_whole(row, path, "output_tokens_max"),
        prices=tuple(_price(alias, i, price) for i, price in enumerate(prices)),
        cache=cache,
        cache_prefix_tokens_min=_whole(row, path, "cache_prefix_tokens_min", default=0),
        end_of_life_s=_moment(row, path, "end_of_life") if "end_of_life" in row else None,
        thinking=thinking,
    )


def _price(alias: str, index: int, row: Any) -> PriceRow:
    path: Path = ("models", alias, "prices", index)
    if not isinstance(row, Mapping):
        raise TableError(path, "must be a table")
    row = cast("Mapping[str, Any]", row)
    usd = {"input", "output", "cached_input", "cache_write_5m", "cache_write_1h", "storage_per_hour"}
    _known(row, path, usd | {"valid_from", "prompt_tokens_max"})
    since = _moment(row, path, "valid_from")
    input_price = _micro(row, path, "input")
    band = _whole(row, path, "prompt_tokens_max") if "prompt_tokens_max" in row else None
    name = f"{alias}@{datetime.fromtimestamp(since, UTC):%Y-%m-%d}" + (f"<={band}" if band else "")
    return PriceRow(
        name=name,
        valid_from_s=since,
        input=input_price,
        output=_micro(row, path, "output"),
        cached_input=_micro(row, path, "cached_input", default=input_price),
        cache_write_5m=_micro(row, path, "cache_write_5m", default=input_price),
        cache_write_1h=_micro(row, path, "cache_write_1h", default=input_price),
        storage_per_hour=_micro(row, path, "storage_per_hour", default=0),
        prompt_tokens_max=band,
    )


def _known(row: Mapping[str, Any], path: Path, keys: set[str]) -> None:
    for key in row:
        if key not in keys:
            raise TableError((*path, key), f"is not known; known are {', '.join(sorted(keys))}")


def _mapping(row: Mapping[str, Any], path: Path, key: str) -> Mapping[str, Any]:
    value = row.get(key)
    if not isinstance(value, Mapping):
        raise TableError((*path, key), "must be a table")
    return cast("Mapping[str, Any]", value)


def _text(row: Mapping[str, Any], path: Path, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise TableError((*path, key), "must be a string")
    return value


def _texts(row: Mapping[str, Any], path: Path, key: str) -> list[str]:
    value = row.get(key)
    if not isinstance(value, list) or not all(isinstance(v, str) for v in cast("list[object]", value)):
        raise TableError((*path, key), "must be a list of strings")
    return cast("list[str]", value)


def _number(row: Mapping[str, Any], path: Path, key: str) -> Decimal:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not value >= 0:
        raise TableError((*path, key), "must be a number, 0 or more")
    return Decimal(str(value))


def _whole(row: Mapping[str, Any], path: Path, key: str, default: int | None = None) -> int:
    if default is not None and key not in row:
        return default
    value = _number(row, path, key)
    if value != int(value) or (default is None and value < 1):
        raise TableError((*path, key), "must be a whole number, 1 or more")
    return int(value)


def _micro(row: Mapping[str, Any], path: Path, key: str, default: int | None = None) -> int:
    if default is not None and key not in row:
        return default
    micro = _number(row, path, key) * 1_000_000
    if micro != int(micro):
        raise TableError((*path, key), "must not be finer than a millionth of a US dollar")
    return int(micro)


def _moment(row: Mapping[str, Any], path: Path, key: str) -> float:
    value = row.get(key)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    raise TableError((*path, key), "must be a date or a date with time, not in quotes")

"""The report of the demo: its data, its JSON form (demo-report.json) and its text form for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hocket.ratelimit.v1.ledger_pb2 import CostKind, GetCostsResponse
from hocket.vision.v1.vision_pb2 import FrameStats

from local.caller.conversation import Exchange

SCHEMA = "hocket.demo-report.v1"


@dataclass(slots=True)
class TurnFacts:
    """One turn of the conversation.

    Attributes:
        name: name of the turn, see `local.demo.checks.TURNS`.
        asked: text of the question.
        heard: transcript of the question by the agent.
        answered: text of the answer.
        tier: router tier; "" if the agent sent no turn report, as for the fields below.
        model: model that answered.
        provider: provider of the model.
        score: complexity score of the router.
        reasons: reasons of the tier decision, strongest first.
        passages: document ids of the passages in the prompt.
        images: frames in the prompt.
        tools: tool calls.
        interrupted: the caller interrupted an answer.
        speculative: the model call started before the end of the question.
        cost_micro_usd: cost of all model calls in micro-USD.
        model_calls: started model calls, with speculative ones.
        caller_ms: milliseconds measured by the caller.
        agent_ms: milliseconds measured by the agent.
        degraded: services that the agent answered without.
    """

    name: str
    asked: str
    heard: str
    answered: str
    tier: str
    model: str
    provider: str
    score: float
    reasons: list[str]
    passages: list[str]
    images: int
    tools: list[Mapping[str, Any]]
    interrupted: bool
    speculative: bool
    cost_micro_usd: int
    model_calls: int
    caller_ms: dict[str, float | None]
    agent_ms: dict[str, float]
    degraded: list[str]


def turn_facts(name: str, exchange: Exchange) -> TurnFacts:
    """Return the facts of an exchange; fields without a value in the turn report are empty.

    Args:
        name: name of the turn.
        exchange: question, answer and turn reports.
    """
    report = exchange.report
    raw: Mapping[str, Any] = report.raw if report else {}
    return TurnFacts(
        name=name,
        asked=exchange.question.text,
        heard=exchange.heard,
        answered=exchange.answered,
        tier=str(raw.get("tier", "")),
        model=str(raw.get("model", "")),
        provider=str(raw.get("provider", "")),
        score=float(raw.get("score") or 0),
        reasons=[_reason(reason) for reason in raw.get("reasons", [])],
        passages=[str(each) for each in raw.get("passages", [])],
        images=int(raw.get("images") or 0),
        tools=[tool for each in exchange.reports for tool in each.raw.get("tool_calls", [])],
        interrupted=any(each.interrupted for each in exchange.reports),
        speculative=bool(raw.get("speculative")),
        cost_micro_usd=sum(int(each.raw.get("cost_micro_usd") or 0) for each in exchange.reports),
        model_calls=sum(int(each.raw.get("model_calls") or 0) for each in exchange.reports),
        caller_ms={"first_sound": exchange.first_sound_ms, "answer": exchange.answer_ms},
        agent_ms={str(k): float(v) for k, v in dict(raw.get("timings_ms", {})).items()},
        degraded=[str(each) for each in raw.get("degraded", [])],
    )


def _reason(reason: Any) -> str:
    if not isinstance(reason, Mapping):
        return str(reason)
    fields: dict[str, Any] = {str(k): v for k, v in reason.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType,reportUnknownMemberType] - JSON
    weight = float(fields.get("weight") or 0)
    words = fields.get("detail") or fields.get("name") or ""
    return f"{words} ({weight:+.2f})" if weight else str(words)


def frame_facts(total: FrameStats, published: int) -> dict[str, Any]:
    """Return frame counts by outcome.

    Args:
        total: counts of the vision service.
        published: frames that the caller published.
    """
    return {
        "published": published,
        "offered": total.offered,
        "kept": total.kept,
        "refreshed": total.refreshed,
        "skipped": total.skipped,
        "suppressed": total.suppressed,
        "dedup_rate": round(total.dedup_rate, 4),
        "bytes_saved": total.bytes_saved,
    }


def cost_facts(costs: GetCostsResponse) -> list[dict[str, Any]]:
    """Return the sums of the ledger, one row per kind, provider, model and tier."""
    return [
        {
            "kind": CostKind.Name(each.kind).removeprefix("COST_KIND_").lower(),
            "provider": each.provider,
            "model": each.model,
            "tier": each.tier,
            "events": each.events,
            "cost_micro_usd": each.cost_micro_usd,
            "quantities": dict(each.quantities),
        }
        for each in costs.sums
    ]


@dataclass(slots=True)
class Report:
    """Result of one demo.

    Attributes:
        room: name of the room.
        tenant: tenant id of the caller.
        turns: finished turns, in order.
        barge_in: times of the interruption.
        frames: frame counts, see `frame_facts`.
        costs: sums of the ledger, see `cost_facts`.
        totals: costs and model calls in the ledger and in the turn reports.
        tasks: tasks in the backend.
        tenants: tenant id -> ids of the documents that its search finds.
        steps: progress lines with seconds since the start.
        recording: path of the WAV file.
        failures: one message per failed check.
    """

    room: str = ""
    tenant: str = ""
    turns: list[TurnFacts] = field(default_factory=list[TurnFacts])
    barge_in: dict[str, Any] = field(default_factory=dict[str, Any])
    frames: dict[str, Any] = field(default_factory=dict[str, Any])
    costs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    totals: dict[str, int] = field(default_factory=dict[str, int])
    tasks: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    tenants: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    steps: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    recording: str = ""
    failures: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """True if every check passed."""
        return not self.failures

    def turn(self, name: str) -> TurnFacts | None:
        """Return the turn with this name, or None if the demo ended before it."""
        return next((each for each in self.turns if each.name == name), None)

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        document = {"schema": SCHEMA, "ok": self.ok, **asdict(self)}
        path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


def format_report(report: Report) -> Sequence[str]:
    """Return the report as lines of text for the terminal."""
    return [*(line for turn in report.turns for line in _turn_lines(turn, report)), *_total_lines(report)]


def _turn_lines(turn: TurnFacts, report: Report) -> list[str]:
    sound, answer = turn.caller_ms.get("first_sound"), turn.caller_ms.get("answer")
    latency = f"first sound after {_ms(sound)}{_latency_parts(turn)}, answer lasts {_ms(answer)}"
    if turn.name == "barge_in":
        latency += f"; the agent stopped {_ms(report.barge_in.get('stopped_ms'))} after the interruption began"
    agent = ", ".join(f"{name} {_ms(value)}" for name, value in turn.agent_ms.items()) or "-"
    rows = [
        ("asked", turn.asked),
        ("heard", turn.heard),
        ("answered", turn.answered),
        ("model", f"{turn.model} of {turn.provider}, tier {turn.tier}: {'; '.join(turn.reasons[:2]) or '-'}"),
        ("used", _used(turn)),
        ("cost", _usd(turn.cost_micro_usd) + (", started before the end of the question" * turn.speculative)),
        ("caller", latency),
        ("agent", agent),
    ]
    if turn.degraded:
        rows.append(("without", ", ".join(turn.degraded)))
    return ["", f"  {turn.name}", *(f"    {label:<9}{text or '-'}" for label, text in rows)]


def _latency_parts(turn: TurnFacts) -> str:
    """Return the part of the wait in the agent; the rest is transport in both directions with two jitter buffers."""
    sound, agent = turn.caller_ms.get("first_sound"), turn.agent_ms.get("e2e")
    if sound is None or agent is None or agent > sound:
        return ""
    return f" ({_ms(agent)} in the agent, {_ms(sound - agent)} in transport)"


def _used(turn: TurnFacts) -> str:
    used = [f"passages from {', '.join(dict.fromkeys(turn.passages))}"] if turn.passages else []
    used += [f"{turn.images} image(s)"] if turn.images else []
    used += [f"tool {each.get('name')}" for each in turn.tools]
    return "; ".join(used) or "nothing"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _total_lines(report: Report) -> list[str]:
    rows: list[str] = []
    if report.frames:
        shown = " / ".join(f"{k} {report.frames[k]}" for k in ("offered", "kept", "skipped", "suppressed"))
        rows += ["", f"  frames    {shown} (of {report.frames['published']} published)"]
    rows += [_cost_line(row) for row in report.costs]
    if report.totals:
        total = report.totals
        cost = f"ledger {_usd(total['ledger_micro_usd'])}, turn reports {_usd(total['reported_micro_usd'])}"
        calls = (
            f"model calls: {total['ledger_model_calls']} in the ledger, "
            f"{total['reported_model_calls']} in the turn reports "
            f"({total['discarded_model_calls']} discarded)"
        )
        rows.append(f"  totals    {cost}; {calls}")
    for tenant, documents in report.tenants.items():
        rows.append(f"  tenant    search as {tenant} finds {', '.join(documents) or 'nothing'}")
    return rows


def _cost_line(row: Mapping[str, Any]) -> str:
    units = ", ".join(f"{value} {name}" for name, value in row["quantities"].items())
    model = f"{row['provider']}/{row['model']}" + (f" ({row['tier']})" if row["tier"] else "")
    return f"  ledger    {row['kind']:<10}{row['events']:>4} events  {_usd(row['cost_micro_usd'])}  {model}: {units}"


def _usd(micro_usd: int) -> str:
    return f"{micro_usd / 1e6:.6f} USD"

"""Decide whether the demo worked: one message for each failed check."""

from __future__ import annotations

import re

from local.demo import script
from local.demo.report import Report, TurnFacts

TURNS = ("knowledge", "task", "screen", "barge_in", "text")
# The demo shows four different slides; one can be replaced while it still settles, and is then not kept.
_FRAMES_KEPT_MIN = 3
# Without an interruption the answer continues for at least four seconds after the interrupting question.
_STOP_GRACE_MS = 3000


def find_failures(report: Report, demo_documents: frozenset[str]) -> list[str]:
    """Return a message for each failed check, in the order of the demo.

    Args:
        report: the finished report.
        demo_documents: ids of the documents of the demo tenant.
    """
    found: list[str] = []
    for name in TURNS:
        turn = report.turn(name)
        found += [f"{name}: the turn was not reached"] if turn is None else answer_failures(turn)
    found += _knowledge(report, "knowledge", script.KNOWLEDGE) + _knowledge(report, "text", script.TEXT)
    found += _knowledge(report, "barge_in", script.BARGE_IN)
    found += _task(report) + _screen(report) + _barge_in(report) + _frames(report) + _ledger(report)
    return found + _tenants(report, demo_documents)


def should_repeat(turn: TurnFacts, line: script.ScriptedQuestion) -> bool:
    """Return whether a caller would ask again: the agent misheard the question, and its answer is not the expected one.

    A machine without CPU to spare loses audio on the way. A wrong answer to a question that was heard is a failure.
    """
    misheard = _words(turn.heard) != _words(line.text)
    called = {str(tool.get("name", "")) for tool in turn.tools}
    answered = contains_any(turn.answered, line.expected_phrases) and line.expected_tool in {"", *called}
    return misheard and not answered


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def contains_any(text: str, phrases: tuple[str, ...]) -> bool:
    """Return True if `text` contains one of the lower-case `phrases`, or if `phrases` is empty.

    Case and spacing of `text` are ignored.
    """
    flat = " ".join(text.lower().split())
    return not phrases or any(phrase in flat for phrase in phrases)


def answer_failures(turn: TurnFacts) -> list[str]:
    """Return a message for each missing part of an answer: text and audible speech."""
    found: list[str] = []
    if not turn.answered:
        found.append(f"{turn.name}: the agent did not answer")
    if turn.caller_ms.get("first_sound") is None:
        found.append(f"{turn.name}: the caller heard nothing")
    return found


def _knowledge(report: Report, name: str, line: script.ScriptedQuestion) -> list[str]:
    turn = report.turn(name)
    if turn is None or contains_any(turn.answered, line.expected_phrases):
        return []
    phrases = ", ".join(line.expected_phrases)
    return [f"{name}: the answer {turn.answered!r} contains none of {phrases} (heard {turn.heard!r})"]


def _task(report: Report) -> list[str]:
    if any(script.TASK_TITLE_PHRASE in task["title"].lower() for task in report.tasks):
        return []
    return [f"task: the backend has no task whose title contains {script.TASK_TITLE_PHRASE!r}"]


def _screen(report: Report) -> list[str]:
    turn = report.turn("screen")
    return ["screen: no kept frame reached the model"] if turn is not None and turn.images < 1 else []


def _barge_in(report: Report) -> list[str]:
    facts = report.barge_in
    if not facts:
        return []
    found: list[str] = []
    if not facts["opening_interrupted"]:
        found.append("barge-in: no turn report is marked as interrupted")
    if facts["stopped_ms"] is None or facts["stopped_ms"] >= facts["question_ms"] + _STOP_GRACE_MS:
        found.append("barge-in: the agent kept speaking after the interruption")
    return found


def _frames(report: Report) -> list[str]:
    frames = report.frames
    if not frames or not frames["offered"]:
        return ["frames: no frame was offered to vision"]
    kept = frames["kept"] + frames["refreshed"]
    return [] if kept >= _FRAMES_KEPT_MIN else [f"frames: {kept} kept, at least {_FRAMES_KEPT_MIN} expected"]


def _ledger(report: Report) -> list[str]:
    kinds = {row["kind"] for row in report.costs}
    found = [f"ledger: no cost event of kind {kind}" for kind in ("llm", "stt", "tts") if kind not in kinds]
    total = report.totals
    # Only the ledger has the costs of cancelled speculative calls and of recognition after the last turn.
    if total and total["ledger_micro_usd"] < total["reported_micro_usd"]:
        found.append(
            f"ledger: {total['ledger_micro_usd']} micro-USD in the ledger, "
            f"{total['reported_micro_usd']} in the turn reports"
        )
    # A speculative call that is discarded at once may not have reached the router; then the ledger has no event.
    if total and not (
        total["reported_model_calls"] - total["discarded_model_calls"]
        <= total["ledger_model_calls"]
        <= total["reported_model_calls"]
    ):
        found.append(
            f"ledger: {total['ledger_model_calls']} model calls in the ledger, "
            f"{total['reported_model_calls']} in the turn reports, {total['discarded_model_calls']} of them discarded"
        )
    return found


def _tenants(report: Report, demo_documents: frozenset[str]) -> list[str]:
    demo_found = set(report.tenants.get(script.TENANT, ()))
    other_found = set(report.tenants.get(script.OTHER_TENANT, ()))
    if demo_found and other_found and demo_found <= demo_documents and not other_found & demo_documents:
        return []
    return [f"tenants: {script.TENANT} finds {sorted(demo_found)}, {script.OTHER_TENANT} finds {sorted(other_found)}"]

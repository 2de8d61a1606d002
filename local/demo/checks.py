"""Decides whether the demo worked: one sentence for each part that did not."""

from __future__ import annotations

from local.demo import script
from local.demo.report import Report, TurnFacts

TURNS = ("knowledge", "task", "screen", "barge_in", "text")
# Two slide changes and a word: with the first picture, four that differ; one may fall to the settling of another.
_FRAMES_KEPT_MIN = 3
# Left alone, the answer that is interrupted goes on for four seconds and more after the interrupting question.
_STOP_GRACE_MS = 3000


def failures(report: Report, demo_documents: frozenset[str]) -> list[str]:
    """What did not work, in the order of the demo; empty when all did."""
    found: list[str] = []
    for name in TURNS:
        turn = report.turn(name)
        found += [f"{name}: the turn was not reached"] if turn is None else unanswered(turn)
    found += _knowledge(report, "knowledge", script.KNOWLEDGE) + _knowledge(report, "text", script.TEXT)
    found += _knowledge(report, "barge_in", script.BARGE_IN)
    found += _task(report) + _screen(report) + _barge_in(report) + _frames(report) + _ledger(report)
    return found + _tenants(report, demo_documents)


def holds(text: str, words: tuple[str, ...]) -> bool:
    """Whether one of `words` (lower case) is in `text`; always true without words."""
    flat = " ".join(text.lower().split())
    return not words or any(each in flat for each in words)


def unanswered(turn: TurnFacts) -> list[str]:
    """What is missing for `turn` to count as answered; empty when nothing is."""
    found: list[str] = []
    if not turn.answered:
        found.append(f"{turn.name}: the agent did not answer")
    if turn.caller_ms.get("first_sound") is None:
        found.append(f"{turn.name}: the caller heard nothing")
    return found


def _knowledge(report: Report, name: str, line: script.Line) -> list[str]:
    turn = report.turn(name)
    if turn is None or holds(turn.answered, line.expect):
        return []
    return [f"{name}: the answer {turn.answered!r} holds none of {', '.join(line.expect)} (heard {turn.heard!r})"]


def _task(report: Report) -> list[str]:
    if any(script.TASK_TITLE_HOLDS in task["title"].lower() for task in report.tasks):
        return []
    return [f"task: the backend has no task about the {script.TASK_TITLE_HOLDS}"]


def _screen(report: Report) -> list[str]:
    turn = report.turn("screen")
    return ["screen: no kept frame reached the model"] if turn is not None and turn.images < 1 else []


def _barge_in(report: Report) -> list[str]:
    facts = report.barge_in
    if not facts:
        return []
    found: list[str] = []
    if not facts["opening_interrupted"]:
        found.append("barge-in: the agent does not say that it was interrupted")
    if facts["stopped_ms"] is None or facts["stopped_ms"] >= facts["question_ms"] + _STOP_GRACE_MS:
        found.append("barge-in: the agent spoke on while it was interrupted")
    return found


def _frames(report: Report) -> list[str]:
    frames = report.frames
    if not frames or not frames["offered"]:
        return ["frames: none was offered to vision"]
    kept = frames["kept"] + frames["refreshed"]
    return [] if kept >= _FRAMES_KEPT_MIN else [f"frames: {kept} kept, fewer than the pictures that were shown"]


def _ledger(report: Report) -> list[str]:
    kinds = {row["kind"] for row in report.costs}
    found = [f"ledger: no cost event of kind {kind}" for kind in ("llm", "stt", "tts") if kind not in kinds]
    total = report.totals
    # What a cancelled speculation and the listening after the last turn cost is known to the book alone.
    if total and total["ledger_micro_usd"] < total["reported_micro_usd"]:
        found.append(
            f"ledger: {total['ledger_micro_usd']} micro-USD in the book, {total['reported_micro_usd']} in the turns"
        )
    # A speculation that is discarded at once may never have reached the router, and then it is in no book.
    if total and not (
        total["reported_model_calls"] - total["discarded_model_calls"]
        <= total["ledger_model_calls"]
        <= total["reported_model_calls"]
    ):
        found.append(
            f"ledger: {total['ledger_model_calls']} model calls in the book, "
            f"{total['reported_model_calls']} in the turns, {total['discarded_model_calls']} of them discarded"
        )
    return found


def _tenants(report: Report, demo_documents: frozenset[str]) -> list[str]:
    ours = set(report.tenants.get(script.TENANT, ()))
    theirs = set(report.tenants.get(script.OTHER_TENANT, ()))
    if ours and theirs and ours <= demo_documents and not theirs & demo_documents:
        return []
    return [f"tenants: {script.TENANT} finds {sorted(ours)}, {script.OTHER_TENANT} finds {sorted(theirs)}"]

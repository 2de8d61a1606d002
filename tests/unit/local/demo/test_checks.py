"""Checks and report of the demo."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from local.caller.conversation import Exchange, Question
from local.caller.turn_report import parse_turn_report
from local.demo import script
from local.demo.checks import TURNS, contains_any, find_failures, should_repeat
from local.demo.report import Report, TurnFacts, format_report, turn_facts

DOCUMENTS = frozenset({"meeting-rooms", "visitors"})
ANSWERS = {
    "knowledge": "Until one in the afternoon.",
    "task": "Done.",
    "screen": "I have one picture.",
    "barge_in": "In the first row.",
    "text": "Ten euros.",
}


def turn(name: str, **values):
    message = {
        "turn_id": name,
        "heard": "words",
        "answered": ANSWERS[name],
        "tier": "simple",
        "model": "embedded",
        "reasons": [{"name": "words", "weight": 0.5, "detail": "few words"}],
        "images": int(name == "screen"),
        "model_calls": 1,
        "timings_ms": {"e2e": 300},
    }
    report = parse_turn_report(json.dumps({**message, **values}))
    return turn_facts(name, Exchange(Question("words"), first_sound_ms=500, answer_ms=900, reports=[report]))  # type: ignore[list-item]


def successful_report() -> Report:
    kind = {"provider": "p", "model": "m", "tier": "", "events": 5, "cost_micro_usd": 0, "quantities": {"units": 3}}
    return Report(
        turns=[turn(name) for name in TURNS],
        barge_in={"opening_interrupted": True, "stopped_ms": 600.0, "question_ms": 1300.0},
        frames={"published": 900, "offered": 50, "kept": 4, "refreshed": 0, "skipped": 46, "suppressed": 700},
        costs=[{"kind": name, **kind} for name in ("llm", "stt", "tts")],
        totals={
            "ledger_micro_usd": 7,
            "reported_micro_usd": 7,
            "ledger_model_calls": 5,
            "reported_model_calls": 6,
            "discarded_model_calls": 1,
        },
        tasks=[{"title": "Book a meeting room"}],
        tenants={script.TENANT: ["visitors"], script.OTHER_TENANT: [script.OTHER_DOCUMENT]},
    )


def test_a_successful_demo_has_no_failures():
    assert find_failures(successful_report(), DOCUMENTS) == []


@pytest.mark.parametrize(
    ("break_report", "expected"),
    [
        (lambda r: r.turns.pop(), "text: the turn was not reached"),
        (
            lambda r: r.turns.__setitem__(0, turn("knowledge", answered="At noon.")),
            "contains none of one in the afternoon",
        ),
        (lambda r: r.turns.__setitem__(0, turn("knowledge", answered="")), "the agent did not answer"),
        (lambda r: setattr(r.turns[1], "caller_ms", {"first_sound": None}), "the caller heard nothing"),
        (lambda r: r.tasks.clear(), "the backend has no task"),
        (lambda r: r.turns.__setitem__(2, turn("screen", images=0)), "no kept frame reached the model"),
        (lambda r: r.barge_in.update(stopped_ms=None), "kept speaking"),
        (lambda r: r.barge_in.update(stopped_ms=5000.0), "kept speaking"),
        (lambda r: r.barge_in.update(opening_interrupted=False), "no turn report is marked as interrupted"),
        (lambda r: r.frames.update(offered=0), "no frame was offered"),
        (lambda r: r.frames.update(kept=1), "1 kept"),
        (lambda r: r.costs.pop(), "no cost event of kind tts"),
        (lambda r: r.totals.update(ledger_micro_usd=6), "6 micro-USD in the ledger, 7 in the turn reports"),
        (
            lambda r: r.totals.update(ledger_model_calls=4),
            "6 in the turn reports, 1 of them discarded",
        ),
        (lambda r: r.totals.update(ledger_model_calls=7), "7 model calls in the ledger, 6 in the turn reports"),
        (lambda r: r.tenants.update({script.TENANT: ["visitors", script.OTHER_DOCUMENT]}), "tenants:"),
        (lambda r: r.tenants.update({script.OTHER_TENANT: ["visitors"]}), "tenants:"),
        (lambda r: r.tenants.clear(), "tenants:"),
    ],
)
def test_each_failed_check_is_reported(break_report, expected):
    report = successful_report()
    break_report(report)
    assert any(expected in failure for failure in find_failures(report, DOCUMENTS))


def test_phrases_match_regardless_of_case_and_spacing():
    assert contains_any("It  starts at\nNine Thirty", ("nine thirty",))
    assert not contains_any("at noon", ("nine thirty",))
    assert contains_any("anything", ())


def test_json_report_lists_failures_and_text_report_lists_all_facts(tmp_path):
    report = successful_report()
    report.failures.append("screen: no kept frame reached the model")
    report.write(tmp_path / "r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert not written["ok"]
    assert written["failures"] == report.failures
    text = "\n".join(format_report(report))
    for words in (
        "first sound after 500 ms (300 ms in the agent, 200 ms in transport)",
        "few words (+0.50)",
        "kept 4",
        "stt",
        "0.000007 USD",
        "stopped 600 ms",
    ):
        assert words in text


def test_facts_of_an_unanswered_turn_are_empty():
    facts = turn_facts("text", Exchange(Question("hello?")))
    assert (facts.answered, facts.model, facts.caller_ms["first_sound"]) == ("", "", None)


def turn_of(heard: str, answered: str, *tools: str) -> TurnFacts:
    exchange = Exchange(Question("Remind me."))
    return replace(turn_facts("task", exchange), heard=heard, answered=answered, tools=[{"name": t} for t in tools])


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (turn_of("when are you", "You can book a room."), True),
        (turn_of("remind me", "You can book a room."), False),
        (turn_of("when are you", "Done.", "create_task"), False),
        (turn_of("", ""), True),
    ],
    ids=["misheard", "heard but answered wrong", "misheard but done", "not heard"],
)
def test_question_is_repeated_when_it_was_misheard_and_not_answered(turn, expected):
    line = script.ScriptedQuestion("Remind me.", expected_tool="create_task")
    assert should_repeat(turn, line) is expected


def test_misheard_question_with_the_expected_answer_is_not_repeated():
    line = script.ScriptedQuestion("Where do visitors park?", ("first row",))
    assert not should_repeat(turn_of("where do the visitors park", "In the first row."), line)

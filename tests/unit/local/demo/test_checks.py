"""What the demo calls a failure: each part can fail on its own and is named."""

from __future__ import annotations

import json

import pytest

from local.caller.conversation import Exchange, Question
from local.caller.turn_report import read_turn
from local.demo import script
from local.demo.checks import TURNS, failures, holds
from local.demo.report import Report, lines, turn_facts

DOCUMENTS = frozenset({"meeting-rooms", "visitors"})
ANSWERS = {
    "knowledge": "Until one in the afternoon.",
    "task": "Done.",
    "screen": "I have one picture.",
    "barge_in": "In the first row.",
    "text": "Ten euros.",
}


def turn(name: str, **values):
    told = {
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
    report = read_turn(json.dumps({**told, **values}))
    return turn_facts(name, Exchange(Question("words"), first_sound_ms=500, answer_ms=900, reports=[report]))


def whole() -> Report:
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


def test_a_demo_in_which_everything_worked_has_no_failure():
    assert failures(whole(), DOCUMENTS) == []


@pytest.mark.parametrize(
    ("breaking", "says"),
    [
        (lambda r: r.turns.pop(), "text: the turn was not reached"),
        (
            lambda r: r.turns.__setitem__(0, turn("knowledge", answered="At noon.")),
            "holds none of one in the afternoon",
        ),
        (lambda r: r.turns.__setitem__(0, turn("knowledge", answered="")), "the agent did not answer"),
        (lambda r: setattr(r.turns[1], "caller_ms", {"first_sound": None}), "the caller heard nothing"),
        (lambda r: r.tasks.clear(), "the backend has no task"),
        (lambda r: r.turns.__setitem__(2, turn("screen", images=0)), "no kept frame reached the model"),
        (lambda r: r.barge_in.update(stopped_ms=None), "the agent spoke on"),
        (lambda r: r.barge_in.update(stopped_ms=5000.0), "the agent spoke on"),
        (lambda r: r.barge_in.update(opening_interrupted=False), "does not say that it was interrupted"),
        (lambda r: r.frames.update(offered=0), "none was offered"),
        (lambda r: r.frames.update(kept=1), "1 kept"),
        (lambda r: r.costs.pop(), "no cost event of kind tts"),
        (lambda r: r.totals.update(ledger_micro_usd=6), "6 micro-USD in the book, 7 in the turns"),
        (lambda r: r.totals.update(ledger_model_calls=4), "4 model calls in the book, 6 in the turns, 1 of them"),
        (lambda r: r.totals.update(ledger_model_calls=7), "7 model calls in the book, 6 in the turns"),
        (lambda r: r.tenants.update({script.TENANT: ["visitors", script.OTHER_DOCUMENT]}), "tenants:"),
        (lambda r: r.tenants.update({script.OTHER_TENANT: ["visitors"]}), "tenants:"),
        (lambda r: r.tenants.clear(), "tenants:"),
    ],
)
def test_each_part_that_did_not_work_is_named(breaking, says):
    report = whole()
    breaking(report)
    assert any(says in failure for failure in failures(report, DOCUMENTS))


def test_words_are_found_whatever_their_case_and_spacing():
    assert holds("It  starts at\nNine Thirty", ("nine thirty",))
    assert not holds("at noon", ("nine thirty",))
    assert holds("anything", ())


def test_the_report_says_what_failed_in_json_and_everything_on_the_terminal(tmp_path):
    report = whole()
    report.failures.append("screen: no kept frame reached the model")
    report.write(tmp_path / "r.json")
    written = json.loads((tmp_path / "r.json").read_text())
    assert not written["ok"]
    assert written["failures"] == report.failures
    text = "\n".join(lines(report))
    for words in (
        "first sound after 500 ms (300 ms in the agent, 200 ms on the way)",
        "few words (+0.50)",
        "kept 4",
        "stt",
        "0.000007 USD",
        "fell silent 600 ms",
    ):
        assert words in text


def test_a_turn_without_a_report_is_shown_as_nothing():
    facts = turn_facts("text", Exchange(Question("anybody there?")))
    assert (facts.answered, facts.model, facts.caller_ms["first_sound"]) == ("", "", None)

"""Surface features rank requests by complexity."""

from __future__ import annotations

import time

import pytest

from services.llm_router.chat.request import Message, Request, Role, Text
from services.llm_router.routing.complexity import SurfaceScorer, features_of

SCORER = SurfaceScorer()
COMMANDS = ["turn on the light", "what time is it", "play some jazz", "set an alarm for seven", "louder please"]
HARD = [
    "Prove that for every prime p > 3, p^2 - 1 is divisible by 24. Show each step of the derivation and state lemmas.",
    (
        "A train leaves at 9:40 with 120 people; at each of 4 stops half get off and 15 get on. How many remain? "
        "Then compute the average load, in percent of 200 seats, and explain why it converges."
    ),
    (
        "Write a Python function that merges overlapping intervals in O(n log n):\n```python\ndef merge(xs): ...\n```\n"
        "Explain the trade-offs, compare with a sweep line, and give tests for empty input."
    ),
]


def test_every_hard_prompt_scores_above_every_command():
    assert max(SCORER.score_text(t).score for t in COMMANDS) < min(SCORER.score_text(t).score for t in HARD)


def test_the_score_is_between_0_and_1_with_strongest_contributions_first():
    scored = SCORER.score_text(HARD[0])
    assert 0 < scored.score < 1
    weights = [abs(c.weight) for c in scored.contributions]
    assert weights == sorted(weights, reverse=True)
    assert scored.contributions[0].name == "words"


def cpu_s(text: str) -> float:
    """CPU time of scoring `text`: the least of three runs, without what other processes cost."""

    def once() -> float:
        began = time.process_time()
        SCORER.score_text(text)
        return time.process_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "🙂" * 50,
        "a" * 1_000_000,
        "1 " * 50_000,
        *(c * 5000 for c in "\n( \t!.;{<$\\*=1,"),
        "; \n" * 5000,
        "<a" * 5000,
    ],
)
def test_any_text_is_scored_in_bounded_time(text: str):
    assert 0 <= SCORER.score_text(text).score <= 1
    # Prose of the same length costs 2 ms; a pattern that walks the text again from each place takes a hundred times as
    # long.
    assert cpu_s(text) < 50 * cpu_s("word " * 200_000)
    assert all(0 <= v <= 1 for v in features_of(text).values())


def test_longer_texts_score_higher_also_beyond_the_characters_read():
    assert SCORER.score_text("word " * 3000).score > SCORER.score_text("word " * 1500).score


def test_a_short_follow_up_inherits_the_complexity_of_earlier_turns():
    def turn(role: Role, text: str) -> Message:
        return Message(role, (Text(text),))

    alone = SCORER.score(Request((turn(Role.USER, "And in general?"),)))
    after = SCORER.score(
        Request((turn(Role.USER, HARD[0]), turn(Role.ASSISTANT, "Here."), turn(Role.USER, "And in general?")))
    )
    assert after.score > alone.score
    assert after.features["history"] > alone.features["history"] == 0


def test_languages_without_spaces_are_measured_too():
    hard = (
        "请证明对于每一个大于三的素数p，p的平方减一都能被二十四整除。请给出推导的每一个步骤，并比较两种不同的证明方法。"
    )
    assert SurfaceScorer().score_text(hard).score > 2 * SurfaceScorer().score_text("请打开客厅的灯").score
    assert features_of("ช่วยเปิดไฟในห้องนั่งเล่นหน่อย")["words"] > features_of("ไฟ")["words"]

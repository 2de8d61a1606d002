"""Turns of a conversation as the caller lives them: ask, hear, be interrupted by nobody, interrupt the agent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from local.caller.audio import Pcm
from local.caller.call import Call
from local.caller.listener import PAUSE_S
from local.caller.turn_report import TurnReport

# Longer than any pause within an answer, so that the next question does not cut the last one's end.
_QUIET_S = PAUSE_S + 0.4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the words, and the sound of them; without sound it is written as chat."""

    text: str
    pcm: Pcm | None = None


@dataclass(slots=True)
class Exchange:
    """A question and what came of it; times in milliseconds on the caller's clock.

    Attributes:
        first_sound_ms: from the last sample of the question (or the sending of the chat) to the first loud sample of
            the answer; None when nothing was heard.
        answer_ms: how long the answer was heard.
        reports: what the agent told of the turns that it made of the question; the last one answers it.
        transcript: what the agent wrote of its answer while speaking.
    """

    question: Question
    first_sound_ms: float | None = None
    answer_ms: float | None = None
    reports: list[TurnReport] = field(default_factory=list[TurnReport])
    transcript: str = ""

    @property
    def report(self) -> TurnReport | None:
        """The report of the turn that answered."""
        return self.reports[-1] if self.reports else None

    @property
    def answered(self) -> str:
        """All that the agent said to it."""
        return " ".join(r.answered for r in self.reports if r.answered) or self.transcript

    @property
    def heard(self) -> str:
        """What the agent understood."""
        return " ".join(r.heard for r in self.reports if r.heard)


@dataclass(slots=True)
class BargeIn:
    """A question into the agent's speech.

    Attributes:
        opening: the question whose answer was interrupted.
        exchange: the question that interrupted, and its answer.
        stopped_ms: from the caller's first sample to the agent's last loud one; None when it was silent already.
        spoken_before_ms: how long the agent had been speaking when it was interrupted.
    """

    opening: Exchange
    exchange: Exchange
    stopped_ms: float | None
    spoken_before_ms: float


async def ask(call: Call, question: Question, *, timeout_s: float = 90) -> Exchange:
    """Ask, and hear the answer to its end."""
    turns_before, said_before = len(call.turns), len(call.said_by_agent)
    asked_s = await _put(call, question)
    return await _hear(call, Exchange(question), asked_s, turns_before, said_before, timeout_s)


async def barge_in(
    call: Call, opening: Question, question: Question, *, listen_s: float = 1.2, timeout_s: float = 90
) -> BargeIn:
    """Ask `opening`, listen to its answer for `listen_s` seconds, and ask `question` into it."""
    turns_before, said_before = len(call.turns), len(call.said_by_agent)
    first = Exchange(opening)
    asked_s = await _put(call, opening)
    onset_s = await call.ear.onset_after(asked_s, timeout_s)
    if onset_s is None:
        return BargeIn(first, Exchange(question), None, 0)
    first.first_sound_ms = _ms(onset_s - asked_s)
    await asyncio.sleep(listen_s)
    interrupted_s = time.monotonic()
    speaking = call.ear.speaking(interrupted_s)
    second = Exchange(question)
    asked_s = await _put(call, question)
    await _hear(call, second, asked_s, turns_before, said_before, timeout_s)
    stopped_s = call.ear.end_of_utterance(interrupted_s)
    # The first report is of the answer that was cut, the others are of the question that cut it.
    first.reports, second.reports = second.reports[:1], second.reports[1:]
    stopped_ms = _ms(stopped_s - interrupted_s) if speaking and stopped_s is not None else None
    return BargeIn(first, second, stopped_ms, _ms(interrupted_s - onset_s))


async def _put(call: Call, question: Question) -> float:
    """Speak or write the question; returns when it was over."""
    if question.pcm is None:
        return await call.write(question.text)
    return (await call.say(question.pcm)).ended_s


async def _hear(
    call: Call, exchange: Exchange, asked_s: float, turns_before: int, said_before: int, timeout_s: float
) -> Exchange:
    give_up_s = time.monotonic() + timeout_s
    onset_s = await call.ear.onset_after(asked_s, timeout_s)
    if onset_s is not None:
        exchange.first_sound_ms = _ms(onset_s - asked_s)
        await call.ear.silence(_QUIET_S, max(0.0, give_up_s - time.monotonic()))
        await call.turn_with_answer(turns_before, max(0.0, give_up_s - time.monotonic()))
        # A tool's result may be spoken after a filler: what the agent still says belongs to this question.
        await call.ear.silence(_QUIET_S, max(0.0, give_up_s - time.monotonic()))
        if call.ear.last_loud_s is not None:
            exchange.answer_ms = _ms(call.ear.last_loud_s - onset_s)
    exchange.reports = call.turns[turns_before:]
    exchange.transcript = " ".join(call.said_by_agent[said_before:])
    return exchange


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

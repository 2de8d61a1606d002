"""Turns of a conversation: ask a question and wait for the answer, or interrupt an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from local.caller.audio import Pcm
from local.caller.call import Call
from local.caller.listener import PAUSE_S
from local.caller.turn_report import TurnReport

# Longer than any pause within an answer, so that the next question does not interrupt it.
_QUIET_S = PAUSE_S + 0.4


@dataclass(frozen=True, slots=True)
class Question:
    """A question.

    Attributes:
        text: its words.
        pcm: its speech, 48 kHz mono; None sends the text as chat.
    """

    text: str
    pcm: Pcm | None = None


@dataclass(slots=True)
class Exchange:
    """A question and its answer; times are measured by the caller.

    Attributes:
        question: the question.
        first_sound_ms: milliseconds from the last sample of the question (or the sending of the chat) to the first
            loud sample of the answer; None without an audible answer.
        answer_ms: duration of the answer in milliseconds.
        reports: turn reports of the agent, in order; the last one has the answer.
        transcript: transcript of the answer, sent while the agent speaks.
    """

    question: Question
    first_sound_ms: float | None = None
    answer_ms: float | None = None
    reports: list[TurnReport] = field(default_factory=list[TurnReport])
    transcript: str = ""

    @property
    def report(self) -> TurnReport | None:
        """The turn report with the answer, or None."""
        return self.reports[-1] if self.reports else None

    @property
    def answered(self) -> str:
        """Text of the answer over all turn reports; the transcript if there are none."""
        return " ".join(r.answered for r in self.reports if r.answered) or self.transcript

    @property
    def heard(self) -> str:
        """Transcript of the question by the agent."""
        return " ".join(r.heard for r in self.reports if r.heard)


@dataclass(slots=True)
class BargeIn:
    """A question that interrupts an answer.

    Attributes:
        opening: the question whose answer was interrupted.
        exchange: the question that interrupted, and its answer.
        stopped_ms: milliseconds from the first sample of the interruption to the last loud sample of the agent; None if
            the agent was not speaking.
        spoken_before_ms: milliseconds that the agent had spoken before the interruption.
    """

    opening: Exchange
    exchange: Exchange
    stopped_ms: float | None
    spoken_before_ms: float


async def ask(call: Call, question: Question, *, timeout_s: float = 90) -> Exchange:
    """Ask a question and wait for the end of the answer.

    Args:
        call: a call with an agent.
        question: the question.
        timeout_s: limit in seconds from the end of the question.
    """
    turns_before, said_before = len(call.turn_reports), len(call.agent_transcripts)
    asked_s = await _send_question(call, question)
    return await _collect_answer(call, Exchange(question), asked_s, turns_before, said_before, timeout_s)


async def barge_in(
    call: Call, opening: Question, question: Question, *, listen_s: float = 1.2, timeout_s: float = 90
) -> BargeIn:
    """Ask `opening`, and interrupt its answer with `question`.

    Args:
        call: a call with an agent.
        opening: the first question.
        question: the question that interrupts.
        listen_s: seconds of the first answer before the interruption.
        timeout_s: limit in seconds for each answer.
    """
    turns_before, said_before = len(call.turn_reports), len(call.agent_transcripts)
    first = Exchange(opening)
    asked_s = await _send_question(call, opening)
    onset_s = await call.listener.wait_for_onset(asked_s, timeout_s)
    if onset_s is None:
        return BargeIn(first, Exchange(question), None, 0)
    first.first_sound_ms = _ms(onset_s - asked_s)
    await asyncio.sleep(listen_s)
    interrupted_s = time.monotonic()
    speaking = call.listener.is_speaking(interrupted_s)
    second = Exchange(question)
    asked_s = await _send_question(call, question)
    await _collect_answer(call, second, asked_s, turns_before, said_before, timeout_s)
    stopped_s = call.listener.utterance_end(interrupted_s)
    # The first report belongs to the interrupted answer, the others to the interrupting question.
    first.reports, second.reports = second.reports[:1], second.reports[1:]
    stopped_ms = _ms(stopped_s - interrupted_s) if speaking and stopped_s is not None else None
    return BargeIn(first, second, stopped_ms, _ms(interrupted_s - onset_s))


async def _send_question(call: Call, question: Question) -> float:
    """Speak the question or send it as chat; return the monotonic time of its end."""
    if question.pcm is None:
        return await call.send_chat(question.text)
    return (await call.speak(question.pcm)).ended_s


async def _collect_answer(
    call: Call, exchange: Exchange, asked_s: float, turns_before: int, said_before: int, timeout_s: float
) -> Exchange:
    deadline_s = time.monotonic() + timeout_s
    onset_s = await call.listener.wait_for_onset(asked_s, timeout_s)
    if onset_s is not None:
        exchange.first_sound_ms = _ms(onset_s - asked_s)
        await call.listener.wait_for_silence(_QUIET_S, max(0.0, deadline_s - time.monotonic()))
        await call.wait_for_answer(turns_before, max(0.0, deadline_s - time.monotonic()))
        # The result of a tool may follow a filler phrase and belongs to the same question.
        await call.listener.wait_for_silence(_QUIET_S, max(0.0, deadline_s - time.monotonic()))
        if call.listener.last_loud_s is not None:
            exchange.answer_ms = _ms(call.listener.last_loud_s - onset_s)
    exchange.reports = call.turn_reports[turns_before:]
    exchange.transcript = " ".join(call.agent_transcripts[said_before:])
    return exchange


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)

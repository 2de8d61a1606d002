"""The five turns of the demo, held in a room of a running mesh, and what they must show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from hocket.speech.v1.speech_pb2 import SynthesizeConfig

from hocket.client.speech import SpeechClient
from local.caller.audio import RATE_HZ, Pcm, trimmed
from local.caller.call import Call
from local.caller.conversation import Question, ask, barge_in
from local.caller.slides import draw, to_i420
from local.demo import script
from local.demo.report import Report, TurnFacts, turn_facts

Progress = Callable[[str], None]
_GREETING_S = 30.0
# After a picture changes it takes a moment until it is settled, kept and at hand for the next model call.
_SETTLE_S = 1.5


async def speak_questions(speech: SpeechClient, voice: str = script.CALLER_VOICE) -> Mapping[str, Pcm]:
    """The spoken lines of the script as sound: text -> (samples,) int16 at 48 kHz, trimmed to the words."""
    config = SynthesizeConfig(sample_rate_hz=RATE_HZ, voice=voice)
    return {line.text: await _spoken(speech, line.text, config) for line in script.SPOKEN}


async def _spoken(speech: SpeechClient, text: str, config: SynthesizeConfig) -> Pcm:
    return trimmed(np.frombuffer(await speech.say(text, config), np.int16))


def draw_slides() -> Sequence[bytes]:
    """The script's slides as I420 frames."""
    return [to_i420(draw(slide)) for slide in script.SLIDES]


async def greeted(call: Call) -> None:
    """Wait until the agent's greeting, if it has one, is over."""
    if await call.ear.onset_after(0, _GREETING_S) is not None:
        await call.ear.silence(1.0, _GREETING_S)


async def five_turns(
    call: Call, spoken: Mapping[str, Pcm], slides: Sequence[bytes], report: Report, say: Progress
) -> None:
    """Hold the conversation; each turn goes into `report` as soon as it is over."""

    def question(line: script.Line) -> Question:
        return Question(line.text, spoken[line.text])

    def done(turn: TurnFacts) -> None:
        report.turns.append(turn)
        say(f"{turn.name}: {turn.asked!r} -> {turn.answered!r}")

    _show(call, slides[1])
    done(turn_facts("knowledge", await ask(call, question(script.KNOWLEDGE))))
    _show(call, slides[2])
    done(turn_facts("task", await ask(call, question(script.TASK))))
    _show(call, slides[3])
    await asyncio.sleep(_SETTLE_S)
    done(turn_facts("screen", await ask(call, question(script.SCREEN))))
    cut = await barge_in(call, question(script.LONG), question(script.BARGE_IN))
    report.barge_in = {
        "opening_asked": cut.opening.question.text,
        "opening_answered": cut.opening.answered,
        "opening_interrupted": any(each.interrupted for each in cut.opening.reports),
        "spoken_before_ms": cut.spoken_before_ms,
        "stopped_ms": cut.stopped_ms,
        "question_ms": len(spoken[script.BARGE_IN.text]) / RATE_HZ * 1000,
    }
    done(turn_facts("barge_in", cut.exchange))
    done(turn_facts("text", await ask(call, Question(script.TEXT.text))))


def _show(call: Call, slide: bytes) -> None:
    if call.screen:
        call.screen.show(slide)

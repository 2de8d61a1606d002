"""The five turns of the demo, from the side of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
from hocket.speech.v1.speech_pb2 import SynthesizeConfig

from hocket.client.speech import SpeechClient
from local.caller.audio import RATE_HZ, Pcm, trim_silence
from local.caller.call import Call
from local.caller.conversation import Question, ask, barge_in
from local.caller.slides import draw_slide, to_i420
from local.demo import script
from local.demo.checks import should_repeat
from local.demo.report import Report, TurnFacts, turn_facts
from local.progress import Progress

_GREETING_TIMEOUT_S = 30.0
# From a slide change until its frame is settled, kept and available to the next model call.
_SETTLE_S = 1.5
_REPEATS_MAX = 2


async def synthesize_questions(speech: SpeechClient, voice: str = script.CALLER_VOICE) -> Mapping[str, Pcm]:
    """Return question text -> its speech, (samples,) int16 at 48 kHz without leading and trailing silence.

    Args:
        speech: client of the speech service.
        voice: voice name of the speech service.
    """
    config = SynthesizeConfig(sample_rate_hz=RATE_HZ, voice=voice)
    return {line.text: await _synthesize(speech, line.text, config) for line in script.SPOKEN}


async def _synthesize(speech: SpeechClient, text: str, config: SynthesizeConfig) -> Pcm:
    return trim_silence(np.frombuffer(await speech.say(text, config), np.int16))


def draw_slides() -> Sequence[bytes]:
    """Return the slides of the script as I420 frames."""
    return [to_i420(draw_slide(slide)) for slide in script.SLIDES]


async def wait_for_greeting(call: Call) -> None:
    """Wait until the greeting of the agent is over; return after 30 s if there is none."""
    if await call.listener.wait_for_onset(0, _GREETING_TIMEOUT_S) is not None:
        await call.listener.wait_for_silence(1.0, _GREETING_TIMEOUT_S)


async def run_conversation(
    call: Call, spoken: Mapping[str, Pcm], slides: Sequence[bytes], report: Report, progress: Progress
) -> None:
    """Ask the questions of the script and append each finished turn to `report`.

    Args:
        call: the call with the agent.
        spoken: question text -> speech, from `synthesize_questions`.
        slides: I420 frames, from `draw_slides`.
        report: receives the turns and the barge-in times.
        progress: called with one line per turn.
    """

    def question(line: script.ScriptedQuestion) -> Question:
        return Question(line.text, spoken.get(line.text))

    async def record_turn(turn: TurnFacts, line: script.ScriptedQuestion) -> None:
        for _ in range(_REPEATS_MAX):
            if not should_repeat(turn, line):
                break
            progress(f"{turn.name}: the agent heard {turn.heard!r}; asking again")
            turn = turn_facts(turn.name, await ask(call, question(line)))
        report.turns.append(turn)
        progress(f"{turn.name}: {turn.asked!r} -> {turn.answered!r}")

    _show(call, slides[1])
    await record_turn(turn_facts("knowledge", await ask(call, question(script.KNOWLEDGE))), script.KNOWLEDGE)
    _show(call, slides[2])
    await record_turn(turn_facts("task", await ask(call, question(script.TASK))), script.TASK)
    _show(call, slides[3])
    await asyncio.sleep(_SETTLE_S)
    await record_turn(turn_facts("screen", await ask(call, question(script.SCREEN))), script.SCREEN)
    interruption = await barge_in(call, question(script.LONG), question(script.BARGE_IN))
    report.barge_in = {
        "opening_asked": interruption.opening.question.text,
        "opening_answered": interruption.opening.answered,
        "opening_interrupted": any(each.interrupted for each in interruption.opening.reports),
        "spoken_before_ms": interruption.spoken_before_ms,
        "stopped_ms": interruption.stopped_ms,
        "question_ms": len(spoken[script.BARGE_IN.text]) / RATE_HZ * 1000,
    }
    await record_turn(turn_facts("barge_in", interruption.exchange), script.BARGE_IN)
    await record_turn(turn_facts("text", await ask(call, question(script.TEXT))), script.TEXT)


def _show(call: Call, slide: bytes) -> None:
    if call.screen_share:
        call.screen_share.show(slide)

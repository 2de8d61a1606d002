"""Round trip of the embedded engines over real gRPC: word errors, CPU, and times of preflight and final.

    python -m bench.speech.round_trip [--voices en-us en-gb] [--realtime] [--json]

Each voice is recognised with key terms, and the first also without. Without --realtime audio is sent as fast as the
service accepts it, and delays are not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import numpy as np
from hocket.speech.v1 import speech_pb2
from hocket.speech.v1.speech_pb2 import SynthesizeConfig, TranscribeConfig

from bench.results import Table, add_json_option
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import MeshServer
from hocket.client.speech import SpeechClient
from services.speech.__main__ import build
from services.speech.settings import Settings

RATE_HZ = 16_000
STEP_MS = 20
PHRASES = [
    "what time does the meeting start",
    "where is the nearest coffee shop",
    "how do I reset my password",
    "what is the price of the premium plan",
    "who is the manager of the support team",
    "when does the office open on monday",
    "can you remind me to call the dentist tomorrow",
    "what is the refund policy",
    "how long does shipping take",
    "is there parking near the building",
    "what are the opening hours on sunday",
    "how do I cancel my subscription",
    "which payment methods do you accept",
    "where can I find my invoice",
    "do you deliver to canada",
    "how many vacation days do I have",
    "what is the wifi password",
    "who do I contact about a billing problem",
    "how do I change my email address",
    "is breakfast included in the room rate",
    "what documents do I need for the visa",
    "can I bring my dog to the hotel",
    "what time is checkout",
    "how far is the airport from the hotel",
    "do you have a gym or a swimming pool",
    "please create a task to buy milk",
    "what do you see on my screen",
    "tell me about the warranty",
    "how do I update the software",
    "the premium plan costs twenty dollars per month",
]
QUESTIONS = PHRASES[:15]
TABLE = Table(
    "speech",
    "speech_round_trip",
    (
        *("voice", "key terms", "words right", "end of speech to preflight, median, ms", "worst, ms"),
        *("end of speech to final, median, ms", "text to first audio, median, ms", "CPU per second of audio, ms"),
    ),
    f"{len(QUESTIONS)} questions against {len(PHRASES)} expected phrases over gRPC. CPU is that of client and server in"
    " one process. The recogniser waits for 200 ms of silence before a final.",
)


@dataclass(slots=True)
class Run:
    """Measurements of one voice.

    Attributes:
        voice: Voice that spoke the questions.
        key_terms: Whether the recogniser had the expected phrases.
        words: Words spoken.
        errors: Word errors.
        cpu_s: CPU seconds of client and server while recognising.
        audio_s: Seconds of audio.
        delays_ms: Delays after the end of speech by event; empty without --realtime.
        first_audio_ms: Milliseconds from a text to its first audio.
    """

    voice: str
    key_terms: bool
    words: int = 0
    errors: int = 0
    cpu_s: float = 0.0
    audio_s: float = 0.0
    delays_ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    first_audio_ms: list[float] = field(default_factory=list[float])


def row(run: Run) -> list[str]:
    """Return the row of one run; delays that were not measured are empty."""
    preflight, final = (run.delays_ms.get(event, []) for event in ("preflight", "final"))
    return [
        run.voice,
        "yes" if run.key_terms else "no",
        f"{run.words - run.errors} of {run.words}",
        _median(preflight),
        f"{max(preflight):.0f}" if preflight else "",
        _median(final),
        _median(run.first_audio_ms),
        f"{run.cpu_s / run.audio_s * 1000:.0f}",
    ]


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f}" if values else ""


def word_errors(wanted: str, recognised: str) -> int:
    """Return the edit distance between two texts in words."""
    a, b = wanted.lower().split(), recognised.lower().split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y)))
    return row[-1]


async def transcribe(client: SpeechClient, pcm: bytes, terms: list[str], *, realtime: bool) -> dict[str, object]:
    """Send `pcm` and a second of silence; return texts, and times of the events after the end of speech in ms."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 100)
    noise = np.random.default_rng(0)
    lead, tail = RATE_HZ // 2, RATE_HZ
    audio = np.concatenate([np.zeros(lead, np.int16), samples[: loud[-1]], np.zeros(tail, np.int16)])
    audio = (audio * 0.5 + noise.normal(0, 10, len(audio))).astype("<i2")
    end_s = (lead + int(loud[-1])) / RATE_HZ
    step = RATE_HZ * STEP_MS // 1000
    sent: list[tuple[float, float]] = []
    seen: dict[str, object] = {"audio_s": len(audio) / RATE_HZ, "preflights": 0}
    config = TranscribeConfig(sample_rate_hz=RATE_HZ, key_terms=terms)
    started = time.perf_counter()
    async with client.transcribe(config, 60) as stream:

        async def send() -> None:
            for at in range(0, len(audio), step):
                if realtime:
                    await asyncio.sleep(max(0.0, started + at / RATE_HZ + STEP_MS / 1000 - time.perf_counter()))
                await stream.send_audio(audio[at : at + step].tobytes())
                sent.append(((at + step) / RATE_HZ, time.perf_counter()))
            await stream.end()

        sender = asyncio.create_task(send())
        async for response in stream:
            kind = response.WhichOneof("event") or ""
            now = time.perf_counter()
            wall_ms = (now - started - end_s) * 1000 if realtime else 0.0
            if kind in {"preflight", "final"}:
                seen[kind] = getattr(response, kind).text
            if kind == "preflight":
                seen["preflights"] = int(str(seen["preflights"])) + 1
            seen[f"{kind}_ms"] = wall_ms
        await sender
    return seen


async def first_audio_ms(client: SpeechClient, voice: str) -> list[float]:
    """Return the milliseconds from each of ten sentences to its first audio."""
    first: list[float] = []
    for text in ("Sure, the meeting starts at nine.", *QUESTIONS[:9]):
        started = time.perf_counter()
        async with client.synthesize(SynthesizeConfig(sample_rate_hz=24_000, voice=voice), 20) as stream:
            await stream.send_text(text)
            await stream.flush()
            async for response in stream:
                if response.HasField("audio"):
                    first.append((time.perf_counter() - started) * 1000)
                    break
    return first


async def measure(client: SpeechClient, voice: str, *, key_terms: bool, realtime: bool) -> Run:
    """Synthesize and recognise all questions in one voice; print each."""
    run = Run(voice, key_terms, first_audio_ms=await first_audio_ms(client, voice))
    for question in QUESTIONS:
        pcm = await client.say(question, speech_pb2.SynthesizeConfig(sample_rate_hz=RATE_HZ, voice=voice))
        before = time.process_time()
        seen = await transcribe(client, pcm, PHRASES if key_terms else [], realtime=realtime)
        run.cpu_s += time.process_time() - before
        run.audio_s += float(str(seen["audio_s"]))
        wrong = word_errors(question, str(seen.get("final", "")))
        run.errors, run.words = run.errors + wrong, run.words + len(question.split())
        for event in ("preflight", "final") if realtime else ():
            if f"{event}_ms" in seen:
                run.delays_ms.setdefault(event, []).append(float(str(seen[f"{event}_ms"])))
        print(wrong, "|", question, "|", seen)
    return run


async def run_all(voices: Sequence[str], *, realtime: bool) -> list[list[str]]:
    """Start the service; return a row for each voice, and one for the first voice without key terms."""
    async with AsyncExitStack() as stack:
        settings = Settings()
        server = MeshServer("speech", settings, await build(settings, stack))
        await server.start()
        try:
            async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "") as channel:
                client = SpeechClient(channel)
                runs = [await measure(client, voice, key_terms=True, realtime=realtime) for voice in voices]
                runs.append(await measure(client, voices[0], key_terms=False, realtime=realtime))
        finally:
            await server.stop()
    return [row(run) for run in runs]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", nargs="+", default=["en-us", "en-gb"])
    parser.add_argument("--realtime", action="store_true", help="send audio at the speed of speech, measure delays")
    add_json_option(parser)
    options = parser.parse_args()
    if options.json and not options.realtime:
        parser.error("--json stores delays: add --realtime")
    TABLE.publish(asyncio.run(run_all(options.voices, realtime=options.realtime)), write=options.json)


if __name__ == "__main__":
    main()

"""Round trip of the embedded engines over real gRPC: word errors, CPU, and times of preflight and final.

    python -m bench.speech.round_trip [--voice en-us] [--realtime]

Without --realtime audio is sent as fast as the service accepts it; only CPU and word errors are meaningful then.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from contextlib import AsyncExitStack

import numpy as np
from hocket.speech.v1 import speech_pb2
from hocket.speech.v1.speech_pb2 import SynthesizeConfig, TranscribeConfig

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


async def measure_first_audio(client: SpeechClient, voice: str) -> None:
    """Print the time from a sentence to its first audio."""
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
    print(f"voice: first audio after {statistics.median(first):.1f} ms median, {max(first):.1f} ms at most")


async def main() -> None:
    """Start the service and print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voice", default="en-us")
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--open", action="store_true", help="no key terms")
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        settings = Settings()
        server = MeshServer("speech", settings, await build(settings, stack))
        await server.start()
        try:
            async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "") as channel:
                await measure(SpeechClient(channel), options)
        finally:
            await server.stop()


async def measure(client: SpeechClient, options: argparse.Namespace) -> None:
    """Synthesize and transcribe all questions in one voice."""
    await measure_first_audio(client, options.voice)
    errors = words = 0
    cpu_s = audio_s = 0.0
    rows: list[dict[str, object]] = []
    for question in QUESTIONS:
        pcm = await client.say(question, speech_pb2.SynthesizeConfig(sample_rate_hz=RATE_HZ, voice=options.voice))
        before = time.process_time()
        seen = await transcribe(client, pcm, [] if options.open else PHRASES, realtime=options.realtime)
        cpu_s += time.process_time() - before
        audio_s += float(str(seen["audio_s"]))
        wrong = word_errors(question, str(seen.get("final", "")))
        errors, words = errors + wrong, words + len(question.split())
        rows.append(seen)
        print(wrong, "|", question, "|", seen)
    print(f"{options.voice}: {errors} of {words} words wrong; {cpu_s / audio_s * 1000:.0f} ms CPU a second of audio")
    for kind in ("preflight_ms", "final_ms", "end_of_turn_ms"):
        times = sorted(float(str(r[kind])) for r in rows if kind in r)
        if times and options.realtime:
            print(f"{kind}: median {statistics.median(times):.0f}, most {times[-1]:.0f} after the end of speech (wall)")
    print("preflight right:", sum(r.get("preflight") == r.get("final") for r in rows), "of", len(rows))


if __name__ == "__main__":
    asyncio.run(main())

"""Metrics of the speech service over real streams."""

from __future__ import annotations

from hocket.speech.v1.speech_pb2 import SynthesizeConfig, TranscribeConfig
from prometheus_client import REGISTRY

from tests.fakes.waiting import DEADLINE_S, until


def streams_open(rpc: str) -> float | None:
    return REGISTRY.get_sample_value("hocket_speech_streams_open", {"rpc": rpc})


async def test_open_streams_are_counted_by_rpc_until_they_end(mesh):
    assert (streams_open("transcribe"), streams_open("synthesize")) == (0, 0)
    config = TranscribeConfig(sample_rate_hz=16_000)
    async with (
        mesh.client.transcribe(config, DEADLINE_S),
        mesh.client.synthesize(SynthesizeConfig(), DEADLINE_S) as out,
    ):
        await out.send_text("Hello. ")
        await until(lambda: (streams_open("transcribe"), streams_open("synthesize")) == (1, 1))
    await until(lambda: (streams_open("transcribe"), streams_open("synthesize")) == (0, 0))

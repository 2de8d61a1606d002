"""Verdicts per second and server core over gRPC by batch size, and the CPU of a decision in process.

`.venv/bin/python -m bench.vision.throughput`. CPU is that of the service's process, from the kernel; the client is
another process on the other core.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import numpy as np
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from bench.results import Table, add_json_option
from bench.vision.service import ServiceProcess
from hocket.chassis.channel import MeshChannel
from services.vision.admission.track_quota import TrackQuota
from services.vision.gating.policy_options import PolicyOptions
from services.vision.gating.verdict import Policy
from services.vision.stats.stats_table import StatsTable
from services.vision.tracks.offers import Offer
from services.vision.tracks.stream_gate import StreamGate
from services.vision.tracks.track_table import TrackLimits, TrackTable

DECISION_COLUMNS = ("policy", "batch", "CPU per decision, µs")
COLUMNS = (
    *("policy", "batch", "tracks", "verdicts per s", "verdicts per s and server core"),
    *("server CPU per verdict, µs", "client CPU per verdict, µs"),
)
_FRAMES = 64
_IN_FLIGHT = 4


def thumbnails() -> list[tuple[bytes, bytes]]:
    """Return thumbnails of a scene with a moving patch and sensor noise, similar to a person who talks."""
    rng = np.random.default_rng(1)
    scene = np.kron(rng.integers(30, 220, (8, 8)), np.ones((8, 8)))
    frames: list[tuple[bytes, bytes]] = []
    for i in range(_FRAMES):
        luma = scene + rng.normal(0, 1, (64, 64))
        x = 10 + i % 32
        luma[20:36, x : x + 12] = 200 - i
        frames.append((np.clip(luma, 0, 255).astype(np.uint8).tobytes(), bytes([128]) * 512))
    return frames


async def over_grpc(
    service: ServiceProcess, policy: pb.Policy.ValueType, batch: int, tracks: int, seconds: float
) -> list[str]:
    frames = thumbnails()
    async with MeshChannel(service.target, lambda: "") as mesh:
        call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(seconds + 60))
        await call.write(pb.WatchRequest(config=pb.WatchConfig(policy=policy)))
        refs = [pb.TrackRef(room="bench", track=f"t{i}") for i in range(tracks)]

        def request(number: int) -> pb.WatchRequest:
            offers = []
            for k in range(batch):
                n = number * batch + k
                luma, chroma = frames[n // tracks % _FRAMES]
                offers.append(
                    pb.Offer(
                        frame_id=n // tracks,
                        track=refs[n % tracks],
                        captured_at_us=n // tracks * 33_333,
                        luma=luma,
                        chroma=chroma,
                        width=1280,
                        height=720,
                    )
                )
            return pb.WatchRequest(offers=pb.OfferBatch(offers=offers))

        verdicts, number = 0, 0
        for _ in range(_IN_FLIGHT):
            await call.write(request(number))
            number += 1
        cpu, own, started = service.cpu_s(), time.process_time(), time.monotonic()
        while time.monotonic() - started < seconds:
            response = await call.read()
            if not isinstance(response, pb.WatchResponse) or response.verdicts.rejections:
                raise SystemExit(f"the service refused offers: {response}")
            verdicts += len(response.verdicts.verdicts)
            await call.write(request(number))
            number += 1
        wall, cpu, own = time.monotonic() - started, service.cpu_s() - cpu, time.process_time() - own
        call.cancel()
    name = pb.Policy.Name(policy).removeprefix("POLICY_").lower()
    rates = (f"{verdicts / wall:.0f}", f"{verdicts / cpu:.0f}")
    costs = (f"{cpu / verdicts * 1e6:.1f}", f"{own / verdicts * 1e6:.1f}")
    print(f"{name:8s} {batch:5d} {tracks:6d} {rates[0]:>10s} {rates[1]:>14s} {costs[0]:>16s} {costs[1]:>16s}")
    return [f"`{name}`", str(batch), str(tracks), *rates, *costs]


def decision_in_process(policy: Policy, batch: int) -> list[str]:
    """Measure the CPU of `StreamGate.decide` per offer, the best of five."""
    frames = thumbnails()
    stats = StatsTable(rows_ended_max=10, ended_ttl_s=60, republish_s=60)
    table = TrackTable("bench", policy, PolicyOptions(), TrackLimits(512, 30), TrackQuota(1000), stats)
    stream = StreamGate(policy, table)
    best, number = 1e9, 0
    rounds = max(4, 2048 // batch)
    for _ in range(5):
        batches = []
        for i in range(rounds):
            n = number + i
            luma, chroma = frames[n % _FRAMES]
            batches.append([Offer("r", f"t{k}", n, n * 33_333, luma, chroma, 1280, 720) for k in range(batch)])
        number += rounds
        cpu = time.thread_time()
        for offers in batches:
            stream.decide(offers, 0.0)
        best = min(best, (time.thread_time() - cpu) / (rounds * batch))
    print(f"{policy.value:8s} {batch:5d} {best * 1e6:16.1f}")
    return [f"`{policy.value}`", str(batch), f"{best * 1e6:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--policies", default="cells,economy,phash,timer")
    add_json_option(parser)
    arguments = parser.parse_args()
    policies = arguments.policies.split(",")
    print("decisions in process\npolicy   batch us_per_decision")
    decisions = [decision_in_process(Policy(policy), batch) for policy in policies for batch in (1, 8, 64)]
    rows: list[list[str]] = []
    print("\nover gRPC\npolicy   batch tracks  verdicts/s verdicts/s/core server_us/verdict client_us/verdict")
    service = ServiceProcess()
    try:
        for policy in policies:
            for batch, tracks in ((1, 8), (8, 8), (64, 64)):
                value = pb.Policy.Value(f"POLICY_{policy.upper()}")
                rows.append(asyncio.run(over_grpc(service, value, batch, tracks, arguments.seconds)))
    finally:
        service.stop()
    command = "python -m bench.vision throughput"
    note = "`StreamGate.decide` in process, without gRPC."
    Table("vision", "vision_decision", DECISION_COLUMNS, note, command).store(decisions, write=arguments.json)
    Table("vision", "vision_throughput", COLUMNS, command=command).store(rows, write=arguments.json)


if __name__ == "__main__":
    main()

"""Command python -m bench.capacity: CPU, memory, gRPC bytes and operations that one room costs each part of the mesh.

Rooms run on loopback with the embedded engines, so `speech` and `llm_router` include engines that a vendor otherwise
runs. The same time without rooms is subtracted. CPU time depends little on other work on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.capacity.rates import difference, read_counters
from bench.capacity.scaling import SIZES, scale_rows
from bench.capacity.usage import Usage, read_usage
from bench.results import Table, add_json_option
from local.caller.call import Call
from local.caller.conversation import Question, ask
from local.demo.conversation import draw_slides, synthesize_questions, wait_for_greeting
from local.demo.environment import DemoEnvironment, start_environment
from local.demo.run import call_in_room
from local.mesh import Mesh

COLUMNS = ("room", "process", "CPU per room, % of a core", "private memory per room, MiB", "gRPC per room, kbit/s")
PER_ROOM = Table("capacity", "capacity_per_room", COLUMNS)
SCALE = Table("capacity", "capacity_scale", ("need", *(f"{size:,} rooms" for size in SIZES)))
# At this rate a caller talks for about a third of the time and listens for another third.
TURN_PERIOD_S = 10.0
SLIDE_PERIOD_S = 5.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scene:
    """Behaviour of the callers of one measurement.

    Attributes:
        name: name in the table.
        talks: the caller asks a question every `TURN_PERIOD_S`.
        shares_screen: the caller publishes 1280x720 at 30 fps and changes the picture every `SLIDE_PERIOD_S`.
    """

    name: str
    talks: bool = False
    shares_screen: bool = False


# The last one has all parts at work: the arithmetic for many rooms uses it.
SCENES = (
    Scene("silent"),
    Scene("talking", talks=True),
    Scene("talking, screen shared", talks=True, shares_screen=True),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One room during the measurement, less the mesh without rooms.

    Attributes:
        usage: process -> usage.
        rates: counter -> operations.
    """

    usage: Mapping[str, Usage]
    rates: Mapping[str, float]


async def measure(rooms: int, seconds: float) -> dict[str, Measured]:
    """Return what one room costs in each scene, measured over `rooms` rooms for `seconds`."""
    with tempfile.TemporaryDirectory(prefix="hocket-bench-") as folder:
        async with start_environment(Path(folder) / "mesh", print) as environment:
            spoken = await synthesize_questions(environment.demo_tenant.speech)
            questions = [Question(text, pcm) for text, pcm in spoken.items()]
            start = _read(environment.mesh)
            idle = await _measure_during(environment.mesh, start, seconds)
            measured: dict[str, Measured] = {}
            for scene in SCENES:
                async with _rooms(environment, scene, rooms, questions):
                    total = await _measure_during(environment.mesh, start, seconds)
                measured[scene.name] = _per_room(total, idle, rooms)
                print(f"measured {rooms} rooms, {scene.name}")
            return measured


def _per_room(total: Measured, idle: Measured, rooms: int) -> Measured:
    usage = {name: used.since(idle.usage[name]).share(rooms) for name, used in total.usage.items()}
    return Measured(usage, {name: gained / rooms for name, gained in difference(total.rates, idle.rates).items()})


@asynccontextmanager
async def _rooms(
    environment: DemoEnvironment, scene: Scene, rooms: int, questions: Sequence[Question]
) -> AsyncGenerator[None]:
    """Hold `rooms` calls; each caller behaves as the scene says until the block ends."""
    slides = draw_slides()
    first_frame = slides[0] if scene.shares_screen else None
    async with AsyncExitStack() as stack:
        calls = [
            await stack.enter_async_context(
                call_in_room(environment.demo_tenant, f"capacity-{SCENES.index(scene)}-{number}", first_frame)
            )
            for number in range(rooms)
        ]
        for call in calls:
            await wait_for_greeting(call)
        tasks = [asyncio.create_task(_behave(call, scene, questions, slides)) for call in calls]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _behave(call: Call, scene: Scene, questions: Sequence[Question], slides: Sequence[bytes]) -> None:
    async with asyncio.TaskGroup() as group:
        if scene.talks:
            group.create_task(_talk(call, questions))
        if scene.shares_screen:
            group.create_task(_change_slides(call, slides))


async def _talk(call: Call, questions: Sequence[Question]) -> None:
    loop, turn = asyncio.get_running_loop(), 0
    while True:
        due_s = loop.time() + TURN_PERIOD_S
        await ask(call, questions[turn % len(questions)], timeout_s=TURN_PERIOD_S)
        turn += 1
        await asyncio.sleep(max(0.0, due_s - loop.time()))


async def _change_slides(call: Call, slides: Sequence[bytes]) -> None:
    number = 0
    while call.screen_share is not None:
        call.screen_share.show(slides[number % len(slides)])
        number += 1
        await asyncio.sleep(SLIDE_PERIOD_S)


def _read(mesh: Mesh) -> dict[str, Usage]:
    found: dict[str, Usage] = {}
    for name in mesh.names():
        pid, target = mesh.pid(name), mesh.targets.get(name)
        if pid is not None:
            found[name] = read_usage(pid, int(target.rpartition(":")[2]) if target else None)
    return found


async def _measure_during(mesh: Mesh, start: Mapping[str, Usage], seconds: float) -> Measured:
    """Measure CPU, bytes and operations of the next `seconds`, and the private memory gained since `start`."""
    counted, first = await read_counters(mesh), _read(mesh)
    await asyncio.sleep(seconds)
    last = _read(mesh)
    usage = {
        name: replace(used.since(first[name]), private_bytes=used.private_bytes - start[name].private_bytes)
        for name, used in last.items()
        if name in first and name in start
    }
    return Measured(usage, difference(await read_counters(mesh), counted))


def per_room_rows(measured: Mapping[str, Measured], seconds: float) -> list[list[str]]:
    """Return a row for each scene and process."""
    return [
        [
            scene,
            name,
            # The mesh without rooms is subtracted: noise may be negative.
            f"{max(0.0, 100 * used.cpu_s / seconds):.1f}",
            f"{max(0.0, used.private_bytes / _MIB):.1f}",
            f"{used.grpc_bytes * 8 / 1000 / seconds:.0f}" if used.grpc_bytes > 0 else "",
        ]
        for scene, found in measured.items()
        for name, used in found.usage.items()
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--rooms", type=int, default=2, help="rooms at once")
    parser.add_argument("--seconds", type=float, default=60, help="duration of each measurement")
    add_json_option(parser)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    measured = asyncio.run(measure(options.rooms, options.seconds))
    note = (
        f"{options.rooms} rooms for {options.seconds:.0f} s, a question every {TURN_PERIOD_S:.0f} s, a new picture"
        f" every {SLIDE_PERIOD_S:.0f} s, embedded engines. Load {load:.1f} before the run."
    )
    replace(PER_ROOM, note=note).publish(per_room_rows(measured, options.seconds), write=options.json)
    busiest = measured[SCENES[-1].name]
    note = f"Arithmetic from one room of the scene {SCENES[-1].name!r}; cores at half load."
    replace(SCALE, note=note).publish(scale_rows(busiest.usage, busiest.rates, options.seconds), write=options.json)


if __name__ == "__main__":
    main()

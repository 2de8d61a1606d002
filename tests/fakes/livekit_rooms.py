"""A LiveKit server in memory: rooms, participants, dispatches. Agents join only if `agents_join` is set."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hocket.chassis.errors import Unavailable
from services.media_gateway.rooms.names import AGENT_IDENTITY
from services.media_gateway.rooms.records import Dispatch, LiveRoom, Participant


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@dataclass
class MemoryRooms:
    """Fake of `ports.RoomServer`."""

    clock: Clock = field(default_factory=Clock)
    rooms: dict[str, LiveRoom] = field(default_factory=dict)
    participants: dict[str, list[Participant]] = field(default_factory=dict)
    dispatches: dict[str, list[Dispatch]] = field(default_factory=dict)
    sizes: dict[str, tuple[float, int]] = field(default_factory=dict)
    unavailable: bool = False
    rejects_dispatch: bool = False
    agents_join: bool = False
    dispatch_count: int = 0

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)

    def _check_available(self) -> None:
        if self.unavailable:
            raise Unavailable("LiveKit does not answer", retry_after_s=1)

    def add_participant(self, livekit_room: str, identity: str, *, is_agent: bool = False) -> None:
        self.participants.setdefault(livekit_room, []).append(Participant(identity, is_agent))

    def remove_participant(self, livekit_room: str, identity: str) -> None:
        self.participants[livekit_room] = [p for p in self.participants.get(livekit_room, []) if p.identity != identity]

    async def create_room(self, livekit_room, *, metadata, empty_timeout_s, participants_max):
        self._check_available()
        self.sizes[livekit_room] = (empty_timeout_s, participants_max)
        return self.rooms.setdefault(livekit_room, LiveRoom(livekit_room, self.clock.time(), metadata))

    async def find_room(self, livekit_room):
        self._check_available()
        return self.rooms.get(livekit_room)

    async def list_rooms(self):
        self._check_available()
        return list(self.rooms.values())

    async def delete_room(self, livekit_room):
        self._check_available()
        for held in (self.rooms, self.participants, self.dispatches):
            held.pop(livekit_room, None)

    async def list_participants(self, livekit_room):
        self._check_available()
        return list(self.participants.get(livekit_room, []))

    async def list_dispatches(self, livekit_room):
        self._check_available()
        return list(self.dispatches.get(livekit_room, []))

    async def create_dispatch(self, livekit_room, metadata):
        self._check_available()
        if self.rejects_dispatch:
            raise Unavailable("LiveKit rejected the call: resource_exhausted", retry_after_s=1)
        self.dispatch_count += 1
        dispatch = Dispatch(f"d{next(self._ids)}", self.clock.time(), metadata)
        self.dispatches.setdefault(livekit_room, []).append(dispatch)
        if self.agents_join:
            self.add_participant(livekit_room, AGENT_IDENTITY, is_agent=True)
        return dispatch

    async def delete_dispatch(self, livekit_room, dispatch_id):
        self._check_available()
        held = self.dispatches.get(livekit_room, [])
        self.dispatches[livekit_room] = [d for d in held if d.dispatch_id != dispatch_id]

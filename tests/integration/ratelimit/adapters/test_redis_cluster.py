"""RedisStore on a Redis Cluster: the keys of each script are in one hash slot, and redirects are followed."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest
import redis

from local.embedded.redis import server_binary
from services.ratelimit.adapters.redis_store import RedisStore
from services.ratelimit.limits.rate_limits import Algorithm, Charge, RateLimit, SlotLimit
from tests.fakes.waiting import DEADLINE_S

W = 60_000_000
EXACT = RateLimit("exact", 40, W)
SMOOTH = RateLimit("smooth", 20, W, Algorithm.SMOOTH)


def free_port() -> int:
    # The port of the cluster bus is 10000 higher.
    for port in range(20_000 + time.time_ns() % 20_000, 55_000):
        with socket.socket() as client, socket.socket() as bus:
            try:
                client.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port
    raise OSError("no free port")


@pytest.fixture
def cluster_url(tmp_path):
    """A cluster of two nodes, each with half of the slots."""
    ports = [free_port(), 0]
    ports[1] = free_port()
    nodes = []
    for port in ports:
        folder = tmp_path / str(port)
        folder.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes"]
        nodes.append(subprocess.Popen([server_binary(), *options], cwd=folder, stdout=subprocess.DEVNULL))
    try:
        clients = [redis.Redis(port=port) for port in ports]
        wait_until(lambda: all(client.ping() for client in clients))
        clients[0].execute_command("CLUSTER", "ADDSLOTS", *range(8192))
        clients[1].execute_command("CLUSTER", "ADDSLOTS", *range(8192, 16_384))
        # Two nodes with the same epoch would take a second to agree.
        clients[1].execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
        wait_until(lambda: all(b"cluster_state:ok" in c.execute_command("CLUSTER", "INFO") for c in clients))
        for client in clients:
            client.close()
        yield f"redis://127.0.0.1:{ports[0]}"
    finally:
        for node in nodes:
            node.kill()
            node.wait()


def wait_until(condition) -> None:
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the cluster did not form")


async def test_every_operation_works_on_both_nodes(cluster_url):
    store = RedisStore(cluster_url, timeout_s=10, cluster=True)
    await store.check()
    for tenant in ("acme", "other", "third", "fourth"):
        charges = [Charge(EXACT, "", 1), Charge(EXACT, "u", 2), Charge(SMOOTH, "", 3)]
        assert [v.remaining_units for v in await store.spend_all(tenant, charges)] == [39, 38, 7]
        assert [v.fits for v in await store.spend_each(tenant, charges * 2)] == [True] * 6
        assert not (await store.peek(tenant, Charge(SMOOTH, "", 8))).fits
        granted, _ = await store.lease(tenant, "a" * 32, EXACT, "", 40)
        assert granted == 9
        assert await store.return_lease(tenant, "a" * 32, 4) == 9
        assert (await store.acquire(tenant, SlotLimit("rooms", 1), "r", W)).acquired
        await store.release(tenant, SlotLimit("rooms", 1), "r")
        assert (await store.acquire(tenant, SlotLimit("rooms", 1), "s", W)).acquired
    await store.close()

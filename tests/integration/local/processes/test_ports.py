"""Port blocks: disjoint, below the ephemeral range, without ports in use."""

from __future__ import annotations

import socket

import pytest

from local.errors import LocalError
from local.processes.ports import BLOCK_SIZE, HOST, PortBlock, is_free

EPHEMERAL_FIRST = 32_768


def test_blocks_are_disjoint_and_below_the_ephemeral_range():
    with PortBlock.claim() as one, PortBlock.claim() as two:
        ports = [[block.next() for _ in range(5)] for block in (one, two)]
    assert len({port for block in ports for port in block}) == 10
    assert max(map(max, ports)) < EPHEMERAL_FIRST


def test_claimed_block_is_unavailable_until_released():
    with PortBlock.claim() as block:
        base = block.next() - 1
        with pytest.raises(LocalError, match=f"port {base} is in use"):
            PortBlock.claim(base)
    PortBlock.claim(base).release()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_ports_in_use_are_skipped(kind):
    with PortBlock.claim() as block:
        taken = block.next() + 1
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind((HOST, taken))
            if kind == socket.SOCK_STREAM:
                other.listen()
            assert not is_free(taken)
            assert block.next() == taken + 1


def test_error_when_the_block_is_exhausted():
    with PortBlock.claim() as block:

        def use_up():
            return [block.next() for _ in range(BLOCK_SIZE)]

        with pytest.raises(LocalError, match="no free port is left"):
            use_up()

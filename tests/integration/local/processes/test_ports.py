"""Blocks of ports: apart from each other, and from what others listen on."""

from __future__ import annotations

import socket

import pytest

from local.errors import LocalError
from local.processes.ports import BLOCK_SIZE, HOST, PortBlock, is_free

EPHEMERAL_FIRST = 32_768


def test_two_blocks_share_no_port_and_lie_below_those_of_outgoing_connections():
    with PortBlock.claim() as one, PortBlock.claim() as two:
        ports = [[block.next() for _ in range(5)] for block in (one, two)]
    assert len({port for block in ports for port in block}) == 10
    assert max(map(max, ports)) < EPHEMERAL_FIRST


def test_a_claimed_block_cannot_be_claimed_again_until_it_is_released():
    with PortBlock.claim() as block:
        base = block.next() - 1
        with pytest.raises(LocalError, match=f"port {base} is taken"):
            PortBlock.claim(base)
    PortBlock.claim(base).release()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_somebody_listens_on_is_passed_over(kind):
    with PortBlock.claim() as block:
        taken = block.next() + 1
        with socket.socket(socket.AF_INET, kind) as stranger:
            stranger.bind((HOST, taken))
            if kind == socket.SOCK_STREAM:
                stranger.listen()
            assert not is_free(taken)
            assert block.next() == taken + 1


def test_a_block_ends():
    with PortBlock.claim() as block:

        def use_up():
            return [block.next() for _ in range(BLOCK_SIZE)]

        with pytest.raises(LocalError, match="are used up"):
            use_up()

"""Ports for one mesh: a block of its own, so that two meshes on a machine never meet.

The blocks lie below the range that Linux and macOS hand out to outgoing connections (32768 and up): a port there can
be taken by any client's socket while a service restarts, and a client that dials a dead one may even reach itself.
"""

from __future__ import annotations

import errno
import random
import socket
from types import TracebackType
from typing import Self

from local.errors import LocalError

HOST = "127.0.0.1"
BLOCK_SIZE = 32
_FIRST_BASE = 20_000
_LAST_BASE = 32_000
_ATTEMPTS = 200


class PortBlock:
    """`BLOCK_SIZE` neighbouring ports, claimed for as long as this process lives.

    The claim is a listening socket on the first port of the block: the system frees it however the process ends.
    """

    def __init__(self, claim: socket.socket, base: int) -> None:
        """Use `PortBlock.claim`."""
        self._claim = claim
        self._base = base
        self._given = 0

    @classmethod
    def claim(cls, base: int = 0) -> Self:
        """Claim the block that begins at `base`, or some free block when it is 0. Raises LocalError when none is."""
        if base:
            held = _listen(base)
            if held is None:
                raise LocalError(
                    f"port {base} is taken; end what uses it or set HOCKET_LOCAL_PORT_BASE to another number"
                )
            return cls(held, base)
        bases = range(_FIRST_BASE, _LAST_BASE, BLOCK_SIZE)
        for candidate in random.sample(bases, min(_ATTEMPTS, len(bases))):
            held = _listen(candidate)
            if held is not None:
                return cls(held, candidate)
        raise LocalError(f"no free ports between {_FIRST_BASE} and {_LAST_BASE}; end other meshes or set the ports")

    def next(self) -> int:
        """A port of the block that nothing listens on. Raises LocalError when the block is used up."""
        while self._given < BLOCK_SIZE - 1:
            self._given += 1
            port = self._base + self._given
            if is_free(port):
                return port
        raise LocalError(f"the ports {self._base} to {self._base + BLOCK_SIZE - 1} are used up; choose another base")

    def release(self) -> None:
        """Give the block back."""
        self._claim.close()

    def __enter__(self) -> Self:
        """Use as `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()


def is_free(port: int) -> bool:
    """Whether TCP and UDP sockets can be bound to `port` on loopback now."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As servers do: a connection of a server that has ended (TIME_WAIT) does not hold the port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    return False
                raise
    return True


def _listen(port: int) -> socket.socket | None:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
        held.listen(1)
    except OSError as error:
        held.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise
    return held

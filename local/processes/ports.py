"""A block of ports for each mesh, so that several meshes run on one machine.

The blocks lie below the ephemeral range of Linux and macOS (32768 and up). A port in that range can be taken by any
outgoing connection while a service restarts, and a client that connects to a free one can even connect to itself.
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
    """`BLOCK_SIZE` consecutive ports, reserved for the lifetime of this process.

    The reservation is a listening socket on the first port; the system closes it however the process ends.
    """

    def __init__(self, claim: socket.socket, base: int) -> None:
        """Use `PortBlock.claim`."""
        self._claim = claim
        self._base = base
        self._offset = 0

    @classmethod
    def claim(cls, base: int = 0) -> Self:
        """Reserve a block.

        Args:
            base: first port of the block; 0 picks a free block at random.

        Raises:
            LocalError: The port `base` is taken, or no block is free.
        """
        if base:
            held = _try_listen(base)
            if held is None:
                raise LocalError(
                    f"port {base} is in use; stop the program that uses it, or set HOCKET_LOCAL_PORT_BASE to another"
                    " port"
                )
            return cls(held, base)
        bases = range(_FIRST_BASE, _LAST_BASE, BLOCK_SIZE)
        for candidate in random.sample(bases, min(_ATTEMPTS, len(bases))):
            held = _try_listen(candidate)
            if held is not None:
                return cls(held, candidate)
        raise LocalError(
            f"no free block of {BLOCK_SIZE} ports between {_FIRST_BASE} and {_LAST_BASE}; stop other meshes, or set"
            " HOCKET_LOCAL_PORT_BASE"
        )

    def next(self) -> int:
        """Return the next free port of the block.

        Raises:
            LocalError: No port of the block is left.
        """
        while self._offset < BLOCK_SIZE - 1:
            self._offset += 1
            port = self._base + self._offset
            if is_free(port):
                return port
        raise LocalError(
            f"no free port is left from {self._base} to {self._base + BLOCK_SIZE - 1}; set HOCKET_LOCAL_PORT_BASE to"
            " another port"
        )

    def release(self) -> None:
        """Free the block."""
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
    """Return True if `port` can be bound on loopback for both TCP and UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As servers set it: a connection in TIME_WAIT does not block the port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    return False
                raise
    return True


def _try_listen(port: int) -> socket.socket | None:
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

"""gRPC channel whose certificates follow their files; ADR 0014 has the reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import grpc

from hocket.chassis.certificates import CHECK_INTERVAL_S, CertificateFiles, Pem
from hocket.chassis.closes_on_exit import ClosesOnExit

# Calls on a replaced channel run on; each ends with its own deadline, and no server admits a longer stream than this.
DRAIN_S_MAX = 86_400.0
_READY = grpc.ChannelConnectivity.READY

OpenChannel = Callable[[grpc.ChannelCredentials], grpc.aio.Channel]


class ReloadingChannel(ClosesOnExit, grpc.aio.Channel):
    """A channel that is replaced when its certificate files change; stubs made from it go on working.

    The replacement connects while calls use the old connection. New calls move to it once it is ready, or at once if
    the old connection is lost. Running calls stay where they began. Create, use and close it in one event loop.
    """

    def __init__(self, files: CertificateFiles, open_channel: OpenChannel) -> None:
        """Open a channel with the certificates of now.

        Args:
            files: Certificates of the client; compared at most once per second while connected, else for each call.
            open_channel: Opens a channel with credentials.
        """
        self._files = files
        self._open = open_channel
        self._pem = files.current(age_max_s=0)
        self._channel = open_channel(_credentials(self._pem))
        self._next: grpc.aio.Channel | None = None
        self._drains: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self._closed = False

    def current(self) -> grpc.aio.Channel:
        """Return the channel for a new call. Raises grpc.aio.UsageError once closed."""
        if self._closed:
            # gRPC ends the process when a method is made from a closed channel.
            raise grpc.aio.UsageError("the channel is closed")
        connected = self._channel.get_state() is _READY
        pem = self._files.current(age_max_s=CHECK_INTERVAL_S if connected else 0)
        if pem is not self._pem:
            self._pem = pem
            if self._next is not None:
                self._drain(self._next)
            self._next = self._open(_credentials(pem))
        if self._next is not None and (self._next.get_state(try_to_connect=True) is _READY or not connected):
            self._drain(self._channel)
            self._channel, self._next = self._next, None
        return self._channel

    def _drain(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close(DRAIN_S_MAX), name="drain channel")
        self._drains[task] = channel
        task.add_done_callback(self._drains.pop)

    async def close(self, grace: float | None = None) -> None:
        """Close the channel; calls on it are cancelled, after `grace` seconds if given."""
        self._closed = True
        draining = list(self._drains.values())
        for task in list(self._drains):
            task.cancel()
        channels = [self._channel, *([self._next] if self._next else []), *draining]
        await asyncio.gather(*(channel.close(grace) for channel in channels))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return the state of the connection that a new call would use."""
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed else self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state of that connection differs from `last_observed_state`."""
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until that connection is ready."""
        await self.current().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return a method with one request and one response (generated stubs call this)."""
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return a method with one request and a stream of responses."""
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Return a method with a stream of requests and one response."""
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """Return a method with streams in both directions."""
        return _Method(self, "stream_stream", args, kwargs)


class _Method:
    """One method of a stub; each call begins on the channel of that moment."""

    def __init__(self, owner: ReloadingChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._owner = owner
        self._kind, self._args, self._kwargs = kind, args, kwargs
        self._channel: grpc.aio.Channel | None = None
        self._method: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        channel = self._owner.current()
        if channel is not self._channel or self._method is None:
            self._channel = channel
            self._method = cast("Callable[..., Any]", getattr(channel, self._kind)(*self._args, **self._kwargs))
        return self._method(*args, **kwargs)


def _credentials(pem: Pem) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)

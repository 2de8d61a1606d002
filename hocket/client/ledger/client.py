"""Client of hocket.ratelimit.v1.LedgerService: records cost events and sums them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from hocket.ratelimit.v1 import ledger_pb2_grpc
from hocket.ratelimit.v1.ledger_pb2 import (
    CostEvent,
    GetCostsRequest,
    GetCostsResponse,
    RecordCostsRequest,
    RecordCostsResponse,
)

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors

LEDGER_SERVICE = "hocket.ratelimit.v1.LedgerService"
LEDGER_TIMEOUT_S = 5.0


class LedgerClient:
    """Records and sums the costs of the tenant that the channel's token names.

    Every method raises an error of hocket.chassis.errors: InvalidArgument for a wrong field, Unavailable while the
    ledger's database cannot be reached, DeadlineExceeded after the timeout.

    Example:
        What the tenant spent today:

            async with MeshChannel("dns:///ratelimit:50051", token) as channel:
                midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
                costs = await LedgerClient(channel).get_costs(start=midnight)
                print(costs.total_micro_usd / 1_000_000, "USD")
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Create a client.

        Args:
            channel: Connection to the ratelimit service, which serves the ledger too. The caller closes it.
        """
        self._channel = channel
        self._stub = ledger_pb2_grpc.LedgerServiceStub(channel.channel)

    async def record_costs(
        self, events: Iterable[CostEvent], *, timeout_s: float = LEDGER_TIMEOUT_S
    ) -> RecordCostsResponse:
        """Record cost events durably. Repeating the call with the same event ids changes nothing.

        Args:
            events: 1 to 1,000 events, each with an event_id and occurred_at.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            How many events were new and how many had been recorded before. All of them are durable.

        Raises:
            InvalidArgument: An event is malformed; the message names the field. None of the events was recorded.
        """
        with mesh_errors():
            return await self._stub.RecordCosts(RecordCostsRequest(events=events), **self._channel.options(timeout_s))

    async def get_costs(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        room: str = "",
        timeout_s: float = LEDGER_TIMEOUT_S,
    ) -> GetCostsResponse:
        """Sum the tenant's cost events over the period [start, end).

        Args:
            start: Start of the period, with a time zone; None for all events up to `end`.
            end: End of the period (exclusive), with a time zone; None for no end.
            room: Sum the events of this room alone; "" for all rooms.
            timeout_s: Deadline of the call, in seconds.

        Returns:
            One sum per kind, provider, model and tier, and the total in micro-USD.
        """
        request = GetCostsRequest(room=room)
        if start is not None:
            request.start_time.FromDatetime(start)
        if end is not None:
            request.end_time.FromDatetime(end)
        with mesh_errors():
            return await self._stub.GetCosts(request, **self._channel.options(timeout_s))

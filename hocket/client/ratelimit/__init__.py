"""Ask the ratelimit service what a tenant may spend now.

`RateLimitClient` makes one call per decision. `LeasedLimits` decides in the process from leased units, for callers with
hundreds of decisions per second. Pass `IDEMPOTENT` to `MeshChannel(idempotent=...)` to let gRPC retry the safe methods.
"""

from hocket.ratelimit.v1.ratelimit_pb2 import Spend, Standing

from hocket.client.ratelimit.client import IDEMPOTENT, RateLimitClient
from hocket.client.ratelimit.leases import Decision, LeasedLimits

__all__ = ["IDEMPOTENT", "Decision", "LeasedLimits", "RateLimitClient", "Spend", "Standing"]

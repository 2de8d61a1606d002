"""The part of xds-protos that services/ratelimit uses; the package ships no types."""

from collections.abc import Iterable, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

class _HitsAddend(Message):
    value: int

class _Entry(Message):
    key: str
    value: str

class _Descriptor(Message):
    @property
    def entries(self) -> Sequence[_Entry]: ...
    @property
    def hits_addend(self) -> _HitsAddend: ...

class RateLimitRequest(Message):
    domain: str
    hits_addend: int
    @property
    def descriptors(self) -> Sequence[_Descriptor]: ...

class RateLimitResponse(Message):
    OK: int
    OVER_LIMIT: int

    class RateLimit(Message):
        UNKNOWN: int
        SECOND: int
        MINUTE: int
        HOUR: int
        DAY: int
        def __init__(self, *, name: str, requests_per_unit: int, unit: int) -> None: ...

    class DescriptorStatus(Message):
        code: int
        def __init__(
            self,
            *,
            code: int,
            current_limit: RateLimitResponse.RateLimit | None = None,
            limit_remaining: int = 0,
            duration_until_reset: Duration | None = None,
        ) -> None: ...

    def __init__(self, *, overall_code: int, statuses: Iterable[RateLimitResponse.DescriptorStatus]) -> None: ...

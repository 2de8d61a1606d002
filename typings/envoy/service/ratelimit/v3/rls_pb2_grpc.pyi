"""The part of xds-protos that services/ratelimit uses; the package ships no types."""

import grpc

class RateLimitServiceServicer: ...

def add_RateLimitServiceServicer_to_server(servicer: RateLimitServiceServicer, server: grpc.aio.Server) -> None: ...

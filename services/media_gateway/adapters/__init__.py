"""Adapters to LiveKit's server and worker protocol, the tenant's backend, ratelimit, Redis and the turn reports."""

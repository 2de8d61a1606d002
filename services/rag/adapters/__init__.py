"""Implementations of the ports: Postgres, Voyage AI, Redis, the ratelimit service, and in-memory ones."""

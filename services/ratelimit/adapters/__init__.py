"""Implementations of the ports: Redis, Postgres, and in-memory ones."""

"""Decisions per CPU-second of each client method of the rate limiter."""

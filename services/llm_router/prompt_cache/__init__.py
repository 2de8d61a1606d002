"""Prompt caching at vendors: cache breakpoints, explicit caches and prewarming."""

"""Counts frames per track; sums over servers, restarts and ended tracks stay exact."""

"""Counts frames per track, so that sums over servers and restarts stay exact."""

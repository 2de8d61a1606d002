"""Measurements of the router; RESULTS.md holds what they said, each script how to say it again."""

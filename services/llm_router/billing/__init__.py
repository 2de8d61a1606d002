"""Computes what a vendor call costs from its token usage, and how much of the daily budget is left."""

"""Engines, limits and the ledger, each behind a port."""

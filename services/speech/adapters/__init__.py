"""Implementations of the ports: vendors, embedded engines, limits and ledger."""

"""Decides what a tenant may spend now, and records the cost of every vendor call in a ledger.

Objective: no window ever admits more than its limit, and an answer comes within 50 ms, also without Redis.
"""

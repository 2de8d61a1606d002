"""Decides which passages of a tenant's knowledge answer a query, for agents that must speak within a second.

Objective: exact search (recall 1.0) for tenants of up to 8,000 passages, and never a row of another tenant.
"""

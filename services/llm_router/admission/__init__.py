"""Decides whether a request may start: concurrency slots per tenant."""

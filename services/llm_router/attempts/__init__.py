"""Runs the calls to models for one request: timeouts, hedging, fallback, model health and settlement of costs."""

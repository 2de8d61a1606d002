"""Decides how hard a request is, which tier and model answers it, and who is next after a failure; for every agent."""

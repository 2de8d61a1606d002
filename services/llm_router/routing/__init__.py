"""Decides the tier and the order of candidate models for a request."""

"""Decisions about incoming audio: endpointing, preflight, key phrases and pronunciation, metering."""

"""Measurements: each folder is a command that prints numbers with the conditions they were taken under."""

"""Decides, for every other service, what a tenant may spend now, and keeps the book of what it spent."""

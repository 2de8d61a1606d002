"""Placeholder, see the package."""

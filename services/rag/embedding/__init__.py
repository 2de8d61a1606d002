"""Vectors: their values, vectors without a vendor, and vendor prices."""

"""Ingestion: how documents split into passages, and what each passage is indexed by."""

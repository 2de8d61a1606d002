"""Rules for turns of conversation: the log of a turn, tenant settings, search queries, pictures, tool schemas.

Pure functions and values; no I/O and no clock.
"""

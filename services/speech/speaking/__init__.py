"""Decisions about outgoing speech: segments of the text, its spoken form, and chunks of audio."""

"""Shares limited resources among tenants: tracks, decoding slots, and the time spent on refused offers."""

"""Voice latency on the caller's clock, with speech and language services that answer as fast as emulated vendors."""

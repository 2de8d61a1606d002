"""Benchmarks of the frame gate; bench/README.md has the commands."""

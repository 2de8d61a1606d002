"""Engines that run in this process, without key or network."""

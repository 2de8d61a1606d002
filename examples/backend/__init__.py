"""Example of a tenant backend: agent settings, user profiles, tasks and insights.

The media gateway calls it over HTTP with a service token. The verified tenant claim selects the data; nothing in path
or body does. All data is in memory.
"""

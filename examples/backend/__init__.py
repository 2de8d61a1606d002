"""A small backend of the kind every tenant has: settings of its agent, its users, its tasks, its insights.

The media gateway calls it over HTTP with a service token. It keeps tenants apart by the verified claim alone and
holds everything in memory, because it is an example.
"""

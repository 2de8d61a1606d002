"""Postgres for the services that keep tables: transactions of one tenant, schema versions, the command `migrate`."""

"""Other services of the mesh: rate limits, the cost ledger and the spending of tenants with a budget."""

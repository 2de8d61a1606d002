"""What the router reaches outside of itself: vendors, the tiers file, limits, the ledger, shared state."""

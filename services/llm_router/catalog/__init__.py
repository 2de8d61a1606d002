"""The table of models: tiers, prices, capabilities, and the policy of each tenant."""

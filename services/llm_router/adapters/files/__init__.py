"""Files: the tiers table (reloaded on change), recorded outcomes and the weights of the complexity scorer."""

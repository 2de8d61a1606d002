"""Cost events: validation of what is recorded, and the sums over them."""

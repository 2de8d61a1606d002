"""State of the tracks of one stream: frame order, track time, limits, and the decisions for a batch of offers."""

"""The tracks of one stream: order, time, limits, and the decisions over a batch of offers."""

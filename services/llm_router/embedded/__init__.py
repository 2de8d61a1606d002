"""The embedded answerer: extractive answers without a model."""

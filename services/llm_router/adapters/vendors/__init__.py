"""Model vendors: one provider per vendor SDK, request translation and failure classification."""

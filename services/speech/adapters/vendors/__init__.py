"""Speech vendors over their SDKs."""

"""The vendor-neutral conversation: requests, answer events, tool calls, images."""

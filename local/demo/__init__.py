"""The demo: a scripted conversation between a synthetic caller and the agent, and a report of its facts."""

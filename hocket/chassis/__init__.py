"""What every service stands on: server, channel, errors, identity, deadlines, telemetry, settings. No business word."""

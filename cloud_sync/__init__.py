"""Shoal in the cloud: registry, fleet, telemetry, the HTTP API and the command line."""

"""Telemetry: what devices send, taken in once, kept for a while, found again."""

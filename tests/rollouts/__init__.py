"""Rollouts against a fleet that fails, lies, vanishes and comes back: state machine and chance."""

"""The HTTP API: one controller a resource. Translates, and decides nothing."""

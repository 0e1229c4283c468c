"""The local HTTP server: a process of its own that forwards to the workers and runs no model."""

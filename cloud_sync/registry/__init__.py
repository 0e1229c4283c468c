"""The registry: blobs, models and modules; what is published never changes."""

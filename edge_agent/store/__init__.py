"""The disk: atomic writes, blobs, the journal and the outbox. Nothing else writes to it."""

"""Programs around other people's clients; each runs in the Python that has the client."""

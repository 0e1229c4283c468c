"""`edge-agent bundle`: what a person needs to know of a device in trouble, in one file."""

"""The fleet: devices, what they should run, what they say they run."""

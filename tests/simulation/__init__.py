"""A device, a broker and the service in one process, by simulated time, against every disorder."""

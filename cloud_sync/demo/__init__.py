"""`shoal demo`: a service, three devices and real sensor rows on one machine, start to finish."""

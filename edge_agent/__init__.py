"""Shoal on the device: brings a machine to its desired state and runs models on MQTT messages."""

__version__ = "0.1.0"

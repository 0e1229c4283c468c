"""The MQTT side of the service: the embedded broker and the service's own session on it."""

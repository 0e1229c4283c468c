"""MQTT 3.1.1 and 5 as bytes: packets in, packets out, no socket and no clock.

As much of the protocol as a worker speaks: it connects, subscribes, gets and publishes messages
with QoS 0 and 1. See docs/decisions/0009 for why this is our own.
"""

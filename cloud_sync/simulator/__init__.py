"""A fleet of light devices in one process, speaking the real contract over a real broker.

What a device does depends only on the seed, its name, the digest that it is given and the time;
so a run can be repeated. Only `connection` and `fleet` touch a socket or a clock.
"""

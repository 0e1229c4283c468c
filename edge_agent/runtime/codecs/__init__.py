"""Codecs: the bytes of a payload to a value, one format a file.

A codec bounds size, depth and pixels before it allocates, and turns any bytes into a value or a
MessageError. It knows nothing of tensors.
"""

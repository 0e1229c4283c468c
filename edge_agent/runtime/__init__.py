"""Models on this machine: sessions, codecs, bindings, and the worker process that runs a slot.

The runtime is handed file paths and URLs; it never looks for settings, state or the cloud.
"""

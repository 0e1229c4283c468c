"""Bindings: the value of a message to the arrays that a model is fed, one source a file.

Everything that a manifest says is compiled once, when the module is loaded; a message only runs
what is left. A binding never sees the model, the topic's owner or the clock.
"""

"""Authoring: local work on a module's folder, from an ONNX file to a manifest and its blobs.

Knows no service, no broker and no device: everything here works without a network. What an ONNX
file could do to a process (crash it, fill its memory) it does to a throw-away child.
"""

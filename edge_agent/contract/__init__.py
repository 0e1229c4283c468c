"""The wire: everything that device and cloud say to each other, version 1.

Pure by rule (enforced by import-linter): no I/O, no clock, no environment. One noun a file.
"""

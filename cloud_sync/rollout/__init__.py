"""Rollouts: a version goes to a fleet in stages, is judged by what it did, and taken back if bad.

`plan`, `verdict` and what they stand on are pure; only `store`, `drive` and `rollouts` touch the
database, and only `drive` decides when.
"""

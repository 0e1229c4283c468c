"""Modules of the simulation: a model is a few bytes that say how its workers behave."""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct


class Character(StrEnum):
    """What a version does to those who run it."""

    GOOD = "good"
    SHY = "shy"
    """Its golden cases cannot be run twice; then they pass."""
    WRONG = "wrong"
    """Its golden cases fail."""
    SLOW = "slow"
    """Its golden cases never end."""
    UNLOADABLE = "unloadable"
    """It is proved, but does not load for live messages."""
    CRASHING = "crashing"
    """Its process ends on live messages."""
    ERRING = "erring"
    """It fails every second live message."""
    DEADLY_PROOF = "deadly-proof"
    """It takes the whole machine down when it is proved."""
    DEADLY_LOAD = "deadly-load"
    """The same, when it is loaded beside what runs."""
    DEADLY_LIVE = "deadly-live"
    """The same, a second after it answers live messages."""


WELCOME: Final = frozenset({Character.GOOD, Character.SHY})
"""What must run in the end, whatever happens on the way."""

ILL_AFTER_S: Final = 1.0
"""So long after its start a bad version shows on live messages."""


class Nature(Struct, frozen=True, kw_only=True):
    """What the bytes of a model say; a number makes each its own."""

    character: Character
    number: int


def model_bytes(nature: Nature) -> bytes:
    """The bytes of a model."""
    return msgspec.json.encode(nature)


def nature_of(data: bytes) -> Nature:
    """What the bytes of a model say."""
    return msgspec.json.decode(data, type=Nature)

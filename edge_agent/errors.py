"""The device's errors, grouped by what the caller can do about them.

Every error has a stable `code` (for machines and for searching), a text that says what was
expected and what was found, and a hint that says what to do. Errors of outside libraries end at
the boundary that calls the library and are chained as the cause.
"""

from typing import ClassVar


class ShoalError(Exception):
    """Root of all errors that Shoal raises on purpose.

    Attributes:
        code: stable snake_case identifier.
        text: what was expected and what was found.
        hint: what to do next; may be empty.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, text: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(text)
        self.code = code or self.default_code
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


class InvalidInput(ShoalError):
    """Somebody gave something wrong; it must be changed before it is given again."""

    default_code = "invalid_input"


class ConfigError(InvalidInput):
    """A settings file or option is wrong."""

    default_code = "config_invalid"


class ContractError(InvalidInput):
    """A wire message, topic, manifest or name does not follow the contract."""

    default_code = "contract_invalid"


class MessageError(InvalidInput):
    """One data message cannot become tensors; `code` is the reason it is counted by."""

    default_code = "message_invalid"


class NotFound(InvalidInput):
    """A thing that was named does not exist."""

    default_code = "not_found"


class Conflict(ShoalError):
    """The state of the system forbids it now: something else must change first."""

    default_code = "conflict"


class Unsupported(ShoalError):
    """It can never work with this version or on this device. Not retried."""

    default_code = "unsupported"


class IntegrityError(ShoalError):
    """Bytes are not the bytes that were promised."""

    default_code = "integrity"


class Unavailable(ShoalError):
    """A network, broker or service did not answer as it should. Worth retrying."""

    default_code = "unavailable"


class StorageError(ShoalError):
    """The disk or the database on it refused. Worth retrying once there is space."""

    default_code = "storage"


class ModelError(ShoalError):
    """A model did not load, did not run, or gave the wrong answer to a golden case."""

    default_code = "model_failed"


class Superseded(ShoalError):
    """What was being done is not wanted any more. Not a failure: it just ends."""

    default_code = "superseded"

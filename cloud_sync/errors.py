"""The cloud's errors. The groups are the device's; these are the ones only a service has."""

from edge_agent.errors import (
    ConfigError,
    Conflict,
    ContractError,
    IntegrityError,
    InvalidInput,
    ModelError,
    NotFound,
    ShoalError,
    StorageError,
    Unavailable,
    Unsupported,
)

__all__ = [
    "ConfigError",
    "Conflict",
    "ContractError",
    "InUse",
    "IntegrityError",
    "InvalidInput",
    "ModelError",
    "ModuleError",
    "NotFound",
    "ShoalError",
    "StorageError",
    "Unavailable",
    "Unsupported",
]


class InUse(Conflict):
    """Devices run it or should run it, so it cannot be deleted; they are named in the text."""

    default_code = "in_use"


class ModuleError(InvalidInput):
    """A module folder cannot be built; the text names the file, and the line where there is one."""

    default_code = "module_invalid"

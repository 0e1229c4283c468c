"""From an answer above 299 to the error that the caller can act on. Pure: no I/O.

The service says what is wrong with a status and a `Problem`; the class is chosen by its code
first and by the status second, so that a new code of a newer service still lands in its group.
"""

from typing import Final

import msgspec

from cloud_sync.errors import (
    ConfigError,
    Conflict,
    ContractError,
    IntegrityError,
    InUse,
    InvalidInput,
    ModelError,
    ModuleError,
    NotFound,
    ShoalError,
    StorageError,
    Unavailable,
    Unsupported,
)
from cloud_sync.resources import Problem

_BY_CODE: Final[dict[str, type[ShoalError]]] = {
    kind.default_code: kind
    for kind in (
        ConfigError,
        Conflict,
        ContractError,
        InUse,
        IntegrityError,
        InvalidInput,
        ModelError,
        ModuleError,
        NotFound,
        StorageError,
        Unavailable,
        Unsupported,
    )
}
_BY_STATUS: Final[dict[int, type[ShoalError]]] = {
    400: InvalidInput,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    422: IntegrityError,
    501: Unsupported,
    503: Unavailable,
    507: StorageError,
}


def error_from(status: int, body: bytes, url: str, location: str = "") -> ShoalError:
    """The error that an answer stands for.

    Args:
        status: of the answer, 300 or above.
        body: of the answer.
        url: the service's address, for the text.
        location: where a redirect points to.

    Returns:
        An error to raise. It is `Unavailable` with the code `not_shoal` when the answer does not
        come from a cloud-sync: another program on that port, or a proxy in front of it.
    """
    if 300 <= status < 400:
        return Unavailable(
            f"{url} redirects to {location or 'somewhere else'}",
            hint="give the address that it redirects to as the server",
            code="not_shoal",
        )
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return Unavailable(
            f"{url} answered with status {status} and no explanation that cloud-sync would give",
            hint="is this the address of a cloud-sync, and is nothing between you and it?",
            code="not_shoal",
        )
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(status)
    if kind is None:
        kind = InvalidInput if status < 500 else Unavailable
    return kind(problem.text, hint=problem.hint, code=problem.code)

"""Errors as answers: each of the error tree's groups has its status code."""

import logging
from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from cloud_sync.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    NotFound,
    ShoalError,
    StorageError,
    Unavailable,
)
from cloud_sync.resources import Problem
from edge_agent.contract.misfit import in_words

# From the most special to the most general: NotFound is an InvalidInput.
_STATUS: Final[tuple[tuple[type[ShoalError], int], ...]] = (
    (NotFound, 404),
    (InvalidInput, 400),
    (Conflict, 409),
    (IntegrityError, 422),
    (StorageError, 507),
    (Unavailable, 503),
)
_CODES: Final = {
    400: "invalid_input",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "media_type",
}
logger = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, State]  # Any: there are no users and no sessions


def status_of(error: ShoalError) -> int:
    """The HTTP status of an error."""
    if error.code == "too_large":
        return 413
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def answer_shoal_error(_request: AnyRequest, error: ShoalError) -> Response[Problem]:
    """Answer with one of our own errors."""
    problem = Problem(code=error.code, text=error.text, hint=error.hint)
    return Response(problem, status_code=status_of(error))


def answer_http_error(_request: AnyRequest, error: HTTPException) -> Response[Problem]:
    """Answer with an error of the web framework: a bad query, no such path, too large."""
    details = error.extra if isinstance(error.extra, list) else []
    texts = [
        f"{_place(found.get('key'))} {in_words(str(found.get('message', '')))}"
        for found in details
        if isinstance(found, dict)
    ]
    text = "; ".join(texts) or error.detail
    is_unknown = error.status_code == 404
    problem = Problem(
        code=_CODES.get(error.status_code, "http_error"),
        text=text,
        hint="the API is described at /v1/openapi.json" if is_unknown or texts else "",
    )
    return Response(problem, status_code=error.status_code)


def _place(key: object) -> str:
    """Where in a request it stands; the framework calls the whole body `data`."""
    return str(key) if key not in (None, "", "data") else "the request"


def answer_fault(request: AnyRequest, error: Exception) -> Response[Problem]:
    """Answer a mistake of our own without showing its insides."""
    logger.error(
        "event=request_failed method=%s path=%s", request.method, request.url.path, exc_info=error
    )
    problem = Problem(
        code="internal",
        text="the service made a mistake; nothing was changed",
        hint="its log says more",
    )
    return Response(problem, status_code=500)

"""From error to answer: the one table.

Source:
    RFC 9457 (problem details) for our own APIs; DSP 2025-1, HTTPS binding, for
    the protocol: 400 for what cannot be done, 404 for what does not exist for the caller.
"""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from catalog.errors import CatalogError
from connector.evidence.errors import EvidenceError
from connector.http.authentication import BodyTooLongError, NotAuthenticatedError
from connector.ports import (
    CredentialsUnavailableError,
    EvidenceExistsError,
    IdentityRefusedError,
    IdentityUnavailableError,
    PeerRefusedError,
    PeerUnreachableError,
    TooMuchDataError,
)
from connector.protocol.exchange import LocalProtocolError, RemoteProtocolError
from connector.protocol.jobs import JobRefusedError
from connector.queries.errors import (
    DataUnreadableError,
    QueryFailedError,
    QueryRefusedError,
    QueryTimeoutError,
)
from connector.services.accessing import AccessDeniedError, UseRefusedError
from connector.services.deciding import TooManyRefusalsError
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from policies.errors import PolicyRefusedError
from policies.model import LanguageMap
from schemas.dcp import DefinitionNotSupportedError
from schemas.errors import SchemaError
from schemas.strict_json import JsonObject, MalformedJsonError

_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotAuthenticatedError, 401),
    (IdentityUnavailableError, 503),
    (IdentityRefusedError, 401),
    (UnknownExchangeError, 404),
    (AccessDeniedError, 404),
    (RemoteProtocolError, 400),
    (LocalProtocolError, 409),
    (UseRefusedError, 403),
    (QueryRefusedError, 403),
    (QueryTimeoutError, 503),
    (QueryFailedError, 500),
    (JobRefusedError, 422),
    (DataUnreadableError, 422),
    (PolicyRefusedError, 422),
    (RequestRefusedError, 422),
    (TooManyRefusalsError, 429),
    (EvidenceError, 422),
    (EvidenceExistsError, 422),
    (CatalogError, 422),
    (BodyTooLongError, 413),
    (TooMuchDataError, 413),
    (MalformedJsonError, 400),
    (DefinitionNotSupportedError, 501),
    (SchemaError, 400),
    (CredentialsUnavailableError, 502),
    (PeerUnreachableError, 502),
    (PeerRefusedError, 422),
)
_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Refused",
    404: "Not found",
    409: "Not now",
    413: "Too long",
    422: "Cannot be done",
    429: "Too often",
    500: "Internal error",
    501: "Not understood here",
    502: "Counterparty unreachable",
    503: "Not in time",
}
_WHO_IS_IT: Final = "Who is calling could not be verified."
_NOTHING_THERE: Final = "There is nothing here for you."
PROBLEM_JSON: Final = "application/problem+json"


def status_of(error: Exception) -> int:
    """The HTTP status that an error of ours is answered with on our own APIs."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def protocol_status(error: Exception) -> int:
    """The status of the same error in the Dataspace Protocol: 400 or 404, and 5xx only where we failed."""
    status = status_of(error)
    if status in {401, 404}:
        return 404
    return status if status >= 500 else 400  # noqa: PLR2004 - the class of server errors


def sentence_of(error: Exception) -> str:
    """What the caller may know of an error."""
    if isinstance(error, IdentityRefusedError):
        # Why is for our log: an answer that tells would let strangers look around through us.
        return _WHO_IS_IT
    if status_of(error) == 404:  # noqa: PLR2004 - not found
        return _NOTHING_THERE
    return (
        str(error)
        if any(isinstance(error, kind) for kind, _ in _STATUS)
        else "Something failed here; try again."
    )


def problem(error: Exception) -> JSONResponse:
    """An error as problem details."""
    status = status_of(error)
    reason: LanguageMap | None = getattr(error, "reason", None)
    body: JsonObject = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": sentence_of(error),
    }
    if isinstance(reason, Mapping):
        body["reason"] = dict(reason)
    return JSONResponse(body, status, media_type=PROBLEM_JSON)


def install_problems(app: FastAPI) -> None:
    """Answer every error of an app with problem details, and none with a traceback."""
    for kind, _ in _STATUS:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _answer)


async def _answer(_: Request, error: Exception) -> Response:
    return problem(error)


async def _invalid(_: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError | ValidationError) else {}
    place = ".".join(str(part) for part in first.get("loc", ()))
    detail = f"{place}: {first.get('msg', 'is not valid')}."
    body = {"type": "about:blank", "title": "Bad request", "status": 422, "detail": detail}
    return JSONResponse(body, 422, media_type=PROBLEM_JSON)


async def _http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    body = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    return JSONResponse(body, status, media_type=PROBLEM_JSON)

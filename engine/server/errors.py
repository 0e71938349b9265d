"""What the server answers when it cannot do what was asked: always JSON with type, message and hint."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from engine.atomic import FULL
from engine.errors import AssetError, EngineError, OutputError

LOG = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """The engine's own error: its kind, what happened, what to do."""

    type: str
    message: str
    hint: str


class ErrorReply(BaseModel):
    """The body of every answer from 400 up."""

    error: ErrorDetail


class Refusal(EngineError):
    """A request that cannot be served."""

    status = 422


class Unauthorized(Refusal):
    """The token is missing or wrong."""

    status = 401


class Forbidden(Refusal):
    """The request was not addressed to this machine's loopback."""

    status = 403


class NotFound(Refusal):
    """No such job, head or address."""

    status = 404


class NotReady(Refusal):
    """The job has no result, or not yet."""

    status = 409


class NotListening(Refusal):
    """No live source is open."""

    status = 409


class Superseded(Refusal):
    """A newer preview of the same head was asked for."""

    status = 409


class TooLarge(Refusal):
    """An upload exceeds the limits."""

    status = 413


class QueueFull(Refusal):
    """Too many jobs wait."""

    status = 429


def documented(*statuses: int) -> dict[int | str, dict]:
    """The ``responses`` of a route that may answer with these errors, besides those that every route may."""
    return {status: {"model": ErrorReply} for status in (400, 401, 403, 413, 422, *statuses)}


def reply(error: EngineError) -> JSONResponse:
    """An engine's error as the answer to a request."""
    if isinstance(error, Refusal):
        status = error.status
    else:
        status = {AssetError: 503, OutputError: 507}.get(type(error), 422)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _json(status, type(error).__name__, error.message, error.hint, headers)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` an :class:`ErrorReply`."""
    app.add_exception_handler(EngineError, lambda request, error: reply(error))  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, _hung_up)  # type: ignore[arg-type]
    app.add_exception_handler(OSError, lambda request, error: reply(_disk(error)))  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unexpected)


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    what = f"The value of {place} does not fit" if place else "The request does not fit"
    hint = "See /openapi.json for what is expected."
    return _json(422, "InvalidRequest", f"{what}: {first['msg'].removeprefix('Value error, ')}.", hint)


def _http(request: Request, error: HTTPException) -> JSONResponse:
    cause = error.__cause__  # FastAPI wraps what happens while it reads an upload
    if isinstance(cause, OSError):
        cause = _disk(cause)
    if isinstance(cause, EngineError):
        return reply(cause)
    named = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "InvalidRequest")
    message = f"{request.method} {request.url.path} cannot be served: {str(error.detail).rstrip('.')}."
    headers = dict(error.headers) if error.headers else None
    return _json(error.status_code, named, message, "See /openapi.json for what is expected.", headers)


def _hung_up(request: Request, error: ClientDisconnect) -> JSONResponse:
    """Nobody reads it; without it the log would have sixty lines of traceback for a cancelled upload."""
    LOG.info("%s %s: the client went away", request.method, request.url.path)
    return _json(400, "InvalidRequest", "The upload was broken off.", "Send it again.")


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    message = f"The engine met an unexpected error ({type(error).__name__}: {error})."
    return _json(500, "InternalError", message, "The engine's log says more; restart the engine if it happens again.")


def _disk(error: OSError) -> OutputError:
    LOG.error("Storing failed", exc_info=error)
    if error.errno in FULL:
        return OutputError("The disk with the temporary files is full.", "Free some space and try again.")
    return OutputError(
        f"A temporary file cannot be written ({error.strerror or error}).", "Check the disk with the temporary files."
    )


def _json(status: int, kind: str, message: str, hint: str, headers: dict[str, str] | None = None) -> JSONResponse:
    detail = ErrorDetail(type=kind, message=message, hint=hint)
    return JSONResponse(ErrorReply(error=detail).model_dump(), status, headers)

"""Who calls: participants on the public listener, the steward on the management listener."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector.ports import Participant

_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
_NO_OTHERS: Final[Mapping[str, int]] = MappingProxyType({})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class NotAuthenticatedError(Exception):
    """The caller has not proved who it is."""


class BodyTooLongError(Exception):
    """The body of a request is longer than its listener takes."""


class IdentityVerifier(Protocol):
    """Finds out who sent a request."""

    async def verify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header, whose token is thereby used up."""
        ...

    async def identify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header; whoever acts on it uses the token up."""
        ...


def bearer_token(header: str | None) -> str:
    """The token of an Authorization header.

    Raises:
        NotAuthenticatedError: There is none.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticatedError("The request carries no access token (Authorization: Bearer …).")
    return token


class ManagementGuard:
    """Lets only those in who hold the management token: as a bearer token, or as the cookie of a login link.

    A browser opens `/?token=…` once, gets a cookie that scripts and other sites
    cannot use, and is sent to the page without the token in its address.

    Args:
        app: What is guarded.
        token: The management token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        self._session = session_of(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or scope["path"].startswith("/static/"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._answer(request)
        await (self._app if answer is None else answer)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """What a request gets instead of the app; None where it may pass."""
        offered = request.query_params.get("token")
        if offered is not None and request.method == "GET":
            return self._log_in(request, offered)
        if self._has_bearer(request) or (self._has_cookie(request) and _same_origin(request)):
            return None
        return JSONResponse(
            {
                "type": "about:blank",
                "title": "Not authenticated",
                "status": 401,
                "detail": "Open the login link that `allmende serve` prints, or send the management token "
                "as Authorization: Bearer. / Bitte öffnen Sie den Anmeldelink, den `allmende serve` ausgibt.",
            },
            401,
            media_type="application/problem+json",
        )

    def _log_in(self, request: Request, offered: str) -> Response:
        # Two slashes would begin the name of another host.
        answer = RedirectResponse("/" + request.url.path.lstrip("/"), 303)
        if _equal(offered, self._token):
            answer.set_cookie(
                session_cookie(request), self._session, httponly=True, samesite="strict", max_age=12 * 3600
            )
        return answer

    def _has_bearer(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _equal(token, self._token)

    def _has_cookie(self, request: Request) -> bool:
        return _equal(request.cookies.get(session_cookie(request), ""), self._session)


class SessionTokens:
    """Ties forms to the session; implements `connector.ui.routes.CsrfTokens`."""

    def csrf_token(self, request: Request) -> str:
        """A digest of the session cookie: another site can neither read nor guess it."""
        cookie = request.cookies.get(session_cookie(request), "")
        return hashlib.sha256(b"form " + cookie.encode()).hexdigest() if cookie else ""


def session_cookie(request: Request) -> str:
    """Name of the session cookie, one per port: browsers keep cookies by host, which connectors may share."""
    return f"allmende_session_{request.url.port or 0}"


def session_of(token: str) -> str:
    """The session cookie that belongs to a management token: not the token itself."""
    return hashlib.sha256(b"session " + token.encode()).hexdigest()


def _equal(offered: str, expected: str) -> bool:
    return hmac.compare_digest(offered.encode(), expected.encode())


def _same_origin(request: Request) -> bool:
    """Whether a changing request comes from our own pages."""
    origin = request.headers.get("origin")
    return request.method in _SAFE or origin is None or urlsplit(origin).netloc == request.headers.get("host")


class SizeLimit:
    """Refuses bodies that are too long before anybody reads them.

    Args:
        app: What is protected.
        most_bytes: Longest body.
        others: Longest body of other routes, by the beginning of their paths.
        speaking: Beginning of the paths whose routes refuse a body in words of their own.
    """

    def __init__(
        self,
        app: ASGIApp,
        most_bytes: int,
        others: Mapping[str, int] = _NO_OTHERS,
        *,
        speaking: str | None = None,
    ) -> None:
        self._app = app
        self._speaking = speaking
        self._most = most_bytes
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting what it sends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        others = (longer for start, longer in self._others.items() if scope["path"].startswith(start))
        most = next(others, self._most)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            speaks = self._speaking is not None and scope["path"].startswith(self._speaking)
            await (self._app(scope, _unread, send) if speaks else _too_long(scope, receive, send))
            return
        await self._app(scope, self._counted(receive, most), send)

    def _counted(self, receive: Receive, most: int) -> Callable[[], Awaitable[Message]]:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise BodyTooLongError("The body is too long.")
            return message

        return counted


async def _unread() -> Message:
    raise BodyTooLongError("The body is too long.")


async def _too_long(scope: Scope, receive: Receive, send: Send) -> None:
    body = {"type": "about:blank", "title": "Too long", "status": 413, "detail": "The body is too long."}
    await JSONResponse(body, 413, media_type="application/problem+json")(scope, receive, send)

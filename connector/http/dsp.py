"""The Dataspace Protocol over HTTP: catalog, contract negotiation, transfer process, both roles.

Source:
    Dataspace Protocol 2025-1, HTTPS binding.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from catalog.pages import Page
from catalog.selection import Selection, read_filter, read_token
from connector.http.authentication import IdentityVerifier
from connector.http.problems import protocol_status, sentence_of, status_of
from connector.ports import IdentityRefusedError, Participant, StoredAnswer, TokenUsedError
from connector.protocol.callbacks import require_own_callback
from connector.services.exchanging import Delivery, UnknownExchangeError
from connector.services.negotiating import Inbound as NegotiationInbound
from connector.services.negotiating import Negotiating
from connector.services.transferring import Inbound as TransferInbound
from connector.services.transferring import Transferring
from schemas import messages as dsp
from schemas.jsonld import normalise_message
from schemas.strict_json import JsonObject, MalformedJsonError, loads

log = logging.getLogger("allmende.dsp")

PREFIX: Final = "/dsp/2025-1"
VERSION: Final = "2025-1"
JSON: Final = "application/json"
_PLACE: Final = "continuationToken"
_LONGEST_REPEATED_PID: Final = 200
M = TypeVar("M", bound=dsp.Message)


class CatalogBodies(Protocol):
    """The catalog as it is sent, computed once per change."""

    async def catalog_page(self, selection: Selection) -> Page:
        """A part of the catalog, or its first page."""
        ...

    async def dataset_body(self, identifier: str) -> bytes | None:
        """One dataset; None where it is not on offer."""
        ...


class Acquaintance(Protocol):
    """Gets to know who sends us messages."""

    async def meet(self, participant: Participant) -> None:
        """See what somebody proves about itself."""
        ...


class Ways(Protocol):
    """Which addresses we call at all."""

    def require_callable(self, url: str) -> None:
        """Refuse an address that we never call."""
        ...


@dataclass(frozen=True, slots=True)
class DspServices:
    """What the protocol's routes call."""

    identity: IdentityVerifier
    acquaintance: Acquaintance
    ways: Ways
    catalog: CatalogBodies
    negotiating: Negotiating
    transferring: Transferring


@dataclass(frozen=True, slots=True)
class _Arrived:
    participant: Participant
    delivery: Delivery
    document: JsonObject


def version_router() -> APIRouter:
    """The version document, which needs no authentication."""
    router = APIRouter()
    document = dsp.VersionDocument(
        protocol_versions=(dsp.ProtocolVersion(version=VERSION, path=PREFIX, binding="HTTPS"),)
    )

    @router.get("/.well-known/dspace-version")
    async def versions() -> JSONResponse:
        return JSONResponse(dsp.to_wire(document))

    return router


def dsp_router(services: DspServices) -> APIRouter:
    """All routes of the protocol below its versioned base address."""
    router = APIRouter(prefix=PREFIX)
    _add_catalog(router, services)
    _add_negotiations(router, services)
    _add_transfers(router, services)
    return router


def _add_catalog(router: APIRouter, services: DspServices) -> None:
    @router.post("/catalog/request")
    async def catalog(request: Request) -> Response:
        async def answer() -> Response:
            arrived = await _arrived(request, services, services.identity.verify)
            message = dsp.parse_message(arrived.document, dsp.CatalogRequestMessage)
            place = request.query_params.get(_PLACE)
            # The place of a page names the filter that led there, so that a repeated one is not asked twice.
            selection = read_filter(message.filter or ()) if place is None else read_token(place)
            return _catalog_page(await services.catalog.catalog_page(selection))

        return await _guarded(answer, _catalog_error)

    @router.get("/catalog/request")
    async def page(request: Request) -> Response:
        async def answer() -> Response:
            await services.identity.verify(request.headers.get("authorization"))
            selection = read_token(request.query_params.get(_PLACE, ""))
            return _catalog_page(await services.catalog.catalog_page(selection))

        return await _guarded(answer, _catalog_error)

    @router.get("/catalog/datasets/{identifier:path}")
    async def dataset(request: Request, identifier: str) -> Response:
        async def answer() -> Response:
            await services.identity.verify(request.headers.get("authorization"))
            body = await services.catalog.dataset_body(identifier)
            if body is None:
                raise UnknownExchangeError(identifier)
            return Response(body, media_type=JSON)

        return await _guarded(answer, _catalog_error)


def _catalog_page(page: Page) -> Response:
    linked = {"next": page.next, "previous": page.previous}
    links = ", ".join(f'<{address}>; rel="{name}"' for name, address in linked.items() if address)
    return Response(page.body, media_type=JSON, headers={"Link": links} if links else None)


def _add_negotiations(router: APIRouter, services: DspServices) -> None:
    negotiating = services.negotiating

    async def opened(
        arrived: _Arrived, _: str, message: dsp.ContractRequestMessage | dsp.ContractOfferMessage
    ) -> StoredAnswer:
        _require(message.callback_address is not None, "The first message needs a callbackAddress.")
        _require_callback(services, arrived, message.callback_address or "")
        return await negotiating.opened(arrived.participant, arrived.delivery, message)

    async def received(arrived: _Arrived, pid: str, message: NegotiationInbound) -> StoredAnswer:
        return await negotiating.received(arrived.participant, pid, arrived.delivery, message)

    _get(router, services, "/negotiations/{pid}", negotiating.shown, _negotiation_error)
    route = partial(_post, router, services, error=_negotiation_error)
    route("/negotiations/request", dsp.ContractRequestMessage, opened)
    route("/negotiations/offers", dsp.ContractOfferMessage, opened)
    route("/negotiations/{pid}/request", dsp.ContractRequestMessage, received)
    route("/negotiations/{pid}/offers", dsp.ContractOfferMessage, received)
    route("/negotiations/{pid}/agreement", dsp.ContractAgreementMessage, received)
    route("/negotiations/{pid}/agreement/verification", dsp.ContractAgreementVerificationMessage, received)
    route("/negotiations/{pid}/events", dsp.ContractNegotiationEventMessage, received)
    route("/negotiations/{pid}/termination", dsp.ContractNegotiationTerminationMessage, received)


def _add_transfers(router: APIRouter, services: DspServices) -> None:
    transferring = services.transferring

    async def opened(arrived: _Arrived, _: str, message: dsp.TransferRequestMessage) -> StoredAnswer:
        _require_callback(services, arrived, message.callback_address)
        return await transferring.opened(arrived.participant, arrived.delivery, message)

    async def received(arrived: _Arrived, pid: str, message: TransferInbound) -> StoredAnswer:
        return await transferring.received(arrived.participant, pid, arrived.delivery, message)

    _get(router, services, "/transfers/{pid}", transferring.shown, _transfer_error)
    route = partial(_post, router, services, error=_transfer_error)
    route("/transfers/request", dsp.TransferRequestMessage, opened)
    route("/transfers/{pid}/start", dsp.TransferStartMessage, received)
    route("/transfers/{pid}/suspension", dsp.TransferSuspensionMessage, received)
    route("/transfers/{pid}/completion", dsp.TransferCompletionMessage, received)
    route("/transfers/{pid}/termination", dsp.TransferTerminationMessage, received)


class Messages:
    """Leads the messages of exchanges straight to their routes, past what an app does for all others.

    Those routes answer every failure themselves, and read their bodies themselves:
    all that FastAPI would add is a twentieth of a negotiation's time.

    Args:
        app: Answers everything else.
        router: The routes of the protocol.
    """

    def __init__(self, app: ASGIApp, router: APIRouter) -> None:
        self._app = app
        self._routes = [route for route in router.routes if type(route) is Route]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)


ErrorBody = Callable[[str | None], Callable[[int, str], JsonObject]]
"""Makes the protocol's error message about an exchange, from its pid, a status and a sentence."""


def _get(
    router: APIRouter,
    services: DspServices,
    path: str,
    show: Callable[[Participant, str], Awaitable[JsonObject]],
    error: ErrorBody,
) -> None:
    """Answer with the state of an exchange."""

    async def route(request: Request) -> Response:
        pid = request.path_params["pid"]

        async def answer() -> Response:
            participant = await services.identity.verify(request.headers.get("authorization"))
            return JSONResponse(await show(participant, pid))

        return await _guarded(answer, error(pid))

    router.add_route(PREFIX + path, route, methods=["GET"])


def _post(
    router: APIRouter,
    services: DspServices,
    path: str,
    kind: type[M],
    take: Callable[[_Arrived, str, M], Awaitable[StoredAnswer]],
    *,
    error: ErrorBody,
) -> None:
    """Take one kind of message at one address; the pid in the address must be one of the message."""

    async def route(request: Request) -> Response:
        pid = request.path_params.get("pid")
        stated: JsonObject = {}

        async def answer() -> Response:
            arrived = await _arrived(request, services, services.identity.identify)
            stated.update(_pids_in(arrived.document))
            message = dsp.parse_message(arrived.document, kind)
            if pid is not None:
                _require_pid(arrived.document, pid)
            return _sent(await take(arrived, pid or "", message))

        return await _guarded(
            partial(_spending, services.identity, request, answer),
            lambda status, sentence: error(pid)(status, sentence) | stated,
        )

    router.add_route(PREFIX + path, route, methods=["POST"])


async def _spending(
    identity: IdentityVerifier, request: Request, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """An answer that uses the sender's token up, also where it is a refusal."""
    try:
        return await answer()
    except TokenUsedError:
        raise
    except Exception:
        with suppress(IdentityRefusedError):
            await identity.verify(request.headers.get("authorization"))
        raise


async def _arrived(
    request: Request, services: DspServices, identify: Callable[[str | None], Awaitable[Participant]]
) -> _Arrived:
    """Who sent a message, and what it says; the sender is asked first."""
    participant = await identify(request.headers.get("authorization"))
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    _require(
        content_type in {JSON, "application/ld+json"},
        f"The body must be {JSON}, not {content_type or 'unnamed'}.",
    )
    body = await request.body()
    document = loads(body)
    if not isinstance(document, dict):
        raise MalformedJsonError("A message must be a JSON object")
    normal = normalise_message(document)
    await services.acquaintance.meet(participant)
    path = request.url.path
    delivery = Delivery(participant.did, path, body, "@id" in normal, participant.token)
    return _Arrived(participant, delivery, normal)


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise MalformedJsonError(rule.removesuffix("."))


def _require_callback(services: DspServices, arrived: _Arrived, address: str) -> None:
    """Refuse an address that is not the sender's, or one that we never call."""
    require_own_callback(address, arrived.participant.addresses)
    services.ways.require_callable(address)


def _require_pid(document: JsonObject, pid: str) -> None:
    stated = {document.get("providerPid"), document.get("consumerPid")}
    _require(pid in stated, "The pid in the address is not one of the message.")


def _pids_in(document: JsonObject) -> JsonObject:
    """The pids that a message states, for an error about it to repeat."""
    stated = {name: document.get(name) for name in ("providerPid", "consumerPid")}
    return {
        name: pid
        for name, pid in stated.items()
        if isinstance(pid, str) and 0 < len(pid) <= _LONGEST_REPEATED_PID
    }


def _sent(answer: StoredAnswer) -> Response:
    return (
        Response(status_code=answer.status)
        if answer.body is None
        else JSONResponse(answer.body, answer.status)
    )


async def _guarded(
    answer: Callable[[], Awaitable[Response]], error_body: Callable[[int, str], JsonObject]
) -> Response:
    """An answer, or the protocol's error message for whatever went wrong."""
    try:
        return await answer()
    except Exception as error:
        if isinstance(error, IdentityRefusedError):
            log.warning("a caller was not recognised: %s", error)
        elif status_of(error) == 500:  # noqa: PLR2004 - our own failure
            log.exception("a message could not be taken")
        status = protocol_status(error)
        return JSONResponse(error_body(status, sentence_of(error)), status)


def _catalog_error(status: int, sentence: str) -> JsonObject:
    return dsp.to_wire(dsp.CatalogError(code=str(status), reason=(sentence,)))


def _negotiation_error(pid: str | None) -> Callable[[int, str], JsonObject]:
    named = pid or "unknown"

    def body(status: int, sentence: str) -> JsonObject:
        return dsp.to_wire(
            dsp.ContractNegotiationError(
                provider_pid=named, consumer_pid=named, code=str(status), reason=(sentence,)
            )
        )

    return body


def _transfer_error(pid: str | None) -> Callable[[int, str], JsonObject]:
    named = pid or "unknown"

    def body(status: int, sentence: str) -> JsonObject:
        return dsp.to_wire(
            dsp.TransferError(provider_pid=named, consumer_pid=named, code=str(status), reason=(sentence,))
        )

    return body

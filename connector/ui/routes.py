"""The data steward's pages: what waits for a person, what is agreed, and what has left the house.

Every page is HTML that works without scripts, and the same data as JSON.
A decision is a form with a token against forgery; after it the browser is
sent back to a page, so that a reload repeats nothing.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic_core import to_json

from connector.http.catalog import page_language, remember_language
from connector.http.negotiation_of_content import choose_media_type
from connector.http.page_headers import PAGE_HEADERS
from connector.ui.reading import (
    AgreementLine,
    ComputationLine,
    DecisionNotPossibleError,
    DownloadedFile,
    NegotiationLine,
    Question,
    StewardDecisions,
    StewardPages,
)
from connector.ui.rendering import PageRenderer
from connector.ui.translating import TRANSLATORS

HTML: Final = "text/html"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
LONGEST_REASON: Final = 1000

_NAVIGATION: Final = (
    ("overview", "/"),
    ("offers", "/angebote"),
    ("negotiations", "/anfragen"),
    ("agreements", "/vertraege"),
    ("queries", "/abfragen"),
    ("computations", "/rechnen"),
    ("partners", "/partner"),
    ("ledger", "/datenfluss"),
)
_AnyLine: TypeAlias = NegotiationLine | AgreementLine | ComputationLine
Field = Annotated[str, Form()]
"""A field of a submitted form."""

_DONE: Final = frozenset(
    {"accepted", "accepted_offer", "accepted_delivery", "rejected", "ended", "released", "refused"}
)
_RECENT: Final = 6
_HEADERS: Final = PAGE_HEADERS | {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language, Cookie"}


class CsrfTokens(Protocol):
    """What ties a form to the session that asked for it."""

    def csrf_token(self, request: Request) -> str:
        """The session's token; empty where there is no session, so that no form is accepted."""
        ...


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows.

    Attributes:
        waiting_negotiations: Negotiations held for a person.
        waiting_computations: Computations whose outputs are held for a person.
        raw_rows_out: Raw rows that left, over all datasets.
        offers: Number of published offers.
        agreements: Number of agreements in force.
        releases: Number of signed releases.
        recent: What changed last, newest first.
    """

    waiting_negotiations: tuple[NegotiationLine, ...]
    waiting_computations: tuple[ComputationLine, ...]
    raw_rows_out: int
    offers: int
    agreements: int
    releases: int
    recent: tuple[NegotiationLine | ComputationLine, ...]


async def read_overview(read: StewardPages) -> Overview:
    """Gather the first page from the others.

    Args:
        read: Where the pages' data come from.
    """
    negotiations, computations = await read.negotiations(), await read.computations()
    lines = (await read.ledger()).lines
    changed: list[NegotiationLine | ComputationLine] = [*negotiations, *computations]
    changed.sort(key=lambda line: line.updated, reverse=True)
    return Overview(
        waiting_negotiations=tuple(line for line in negotiations if line.held_reason is not None),
        waiting_computations=tuple(line for line in computations if line.held_reason is not None),
        raw_rows_out=sum(line.raw_rows_out for line in lines),
        offers=sum(offer.published for offer in await read.offers()),
        agreements=sum(agreement.in_force for agreement in await read.agreements()),
        releases=sum(line.releases for line in lines),
        recent=tuple(changed[:_RECENT]),
    )


class _Desk:
    """Renders the steward's pages: the frame that all routes share."""

    def __init__(self, read: StewardPages, csrf: CsrfTokens, renderer: PageRenderer) -> None:
        self.read = read
        self._csrf = csrf
        self._renderer = renderer

    async def show(
        self,
        request: Request,
        template: str,
        section: str,
        view: object,
        *,
        title: str | None = None,
        status: int = 200,
        **values: object,
    ) -> Response:
        wanted = choose_media_type(request.headers.get("accept"), (HTML, JSON))
        if wanted is None:
            sentence = TRANSLATORS[page_language(request)]("problem.not_acceptable")
            return Response(sentence + "\n", 406, media_type="text/plain", headers=_HEADERS)
        if wanted == JSON:
            return Response(to_json(view), status, media_type=JSON, headers=_HEADERS)
        page = await self._page(request, template, section, view, title=title, **values)
        response = Response(page, status, media_type=HTML, headers=_HEADERS)
        remember_language(request, response)
        return response

    async def _page(
        self, request: Request, template: str, section: str, view: object, **values: object
    ) -> str:
        language = page_language(request)
        t = TRANSLATORS[language]
        participant = await self.read.participant()
        done = request.query_params.get("done")
        return self._renderer.render(
            template,
            language,
            view=view,
            section=section,
            navigation=_NAVIGATION,
            participant=participant,
            owner=participant.name,
            home="/",
            here=_address_of_page(request),
            csrf=self._csrf.csrf_token(request),
            notice=t(f"done.{done}") if done in _DONE else None,
            **values | {"title": values.get("title") or t(f"{section}.title")},
        )

    async def problem(self, request: Request, section: str, key: str, status: int) -> Response:
        return await self.refuse(request, section, TRANSLATORS[page_language(request)](key), status)

    async def refuse(self, request: Request, section: str, sentence: str, status: int) -> Response:
        return await self.show(
            request,
            "problem.html",
            section,
            {"problem": sentence},
            title=TRANSLATORS[page_language(request)]("problem.title"),
            status=status,
            sentence=sentence,
            back=dict(_NAVIGATION)[section],
        )

    async def hand_over(
        self, request: Request, section: str, file: DownloadedFile | None, media_type: str
    ) -> Response:
        """A file to be kept, never to be opened by the browser."""
        if file is None:
            return await self.problem(request, section, "problem.missing", 404)
        disposition = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
        headers = {**_HEADERS, "Content-Disposition": disposition}
        return Response(file.content, media_type=media_type, headers=headers)

    def is_ours(self, request: Request, submitted: str) -> bool:
        """Whether a form was made for this session; never without a session."""
        expected = self._csrf.csrf_token(request)
        return bool(expected) and hmac.compare_digest(expected.encode(), submitted.encode())


def ui_router(
    read: StewardPages, decide: StewardDecisions, csrf: CsrfTokens, renderer: PageRenderer
) -> APIRouter:
    """The routes of the steward's pages, for the management listener only.

    Whoever mounts them sees to it that a steward is logged in. The pages also
    need `static_router`.

    Args:
        read: Where the pages' data come from.
        decide: Where decisions go.
        csrf: What ties a form to its session.
        renderer: Fills in the templates.
    """
    router = APIRouter(include_in_schema=False)
    desk = _Desk(read, csrf, renderer)
    _add_lists(router, desk)
    _add_files(router, desk)
    _add_negotiation(router, desk, decide)
    _add_agreement(router, desk, decide)
    _add_computation(router, desk, decide)
    return router


def _address_of_page(request: Request) -> str:
    """Where the shown page can be opened again: a decision's own address cannot."""
    path = request.url.path
    return path if request.method == "GET" else path.rpartition("/")[0]


def _add_lists(router: APIRouter, desk: _Desk) -> None:
    async def overview() -> Overview:
        return await read_overview(desk.read)

    readers: dict[str, Callable[[], Awaitable[object]]] = {
        "overview": overview,
        "offers": desk.read.offers,
        "negotiations": desk.read.negotiations,
        "agreements": desk.read.agreements,
        "queries": desk.read.queries,
        "computations": desk.read.computations,
        "partners": desk.read.partners,
        "ledger": desk.read.ledger,
    }
    for section, address in _NAVIGATION:
        router.add_api_route(address, _list_page(desk, section, readers[section]), methods=["GET"])


def _list_page(
    desk: _Desk, section: str, reader: Callable[[], Awaitable[object]]
) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return await desk.show(request, f"{section}.html", section, await reader())

    return page


def _add_files(router: APIRouter, desk: _Desk) -> None:
    @router.get("/vertraege/{agreement:path}/nachweis")
    async def evidence(request: Request, agreement: str) -> Response:
        return await desk.hand_over(request, "agreements", await desk.read.evidence(agreement), JSON)

    @router.get("/belege/{identifier:path}")
    async def receipt(request: Request, identifier: str) -> Response:
        return await desk.hand_over(request, "ledger", await desk.read.receipt(identifier), JSON)

    @router.get("/rechnen/{computation:path}/ergebnisse/{name}")
    async def output(request: Request, computation: str, name: str) -> Response:
        return await desk.hand_over(request, "computations", await desk.read.output(computation, name), BYTES)


def _add_negotiation(router: APIRouter, desk: _Desk, decide: StewardDecisions) -> None:
    case = _Case(desk, "negotiation", "negotiations", desk.read.negotiations)

    @router.get("/anfragen/{identifier:path}")
    async def negotiation(request: Request, identifier: str) -> Response:
        return await case.page(request, identifier)

    @router.post("/anfragen/{identifier:path}/annehmen")
    async def accept(request: Request, identifier: str, csrf: Field = "") -> Response:
        return await case.agree(
            request, identifier, csrf=csrf, decide=decide.accept_negotiation, done="accepted"
        )

    @router.post("/anfragen/{identifier:path}/ablehnen")
    async def reject(
        request: Request,
        identifier: str,
        csrf: Field = "",
        reason: Field = "",
    ) -> Response:
        return await case.decline(
            request, identifier, csrf=csrf, reason=reason, decide=decide.reject_negotiation, done="rejected"
        )


def _add_agreement(router: APIRouter, desk: _Desk, decide: StewardDecisions) -> None:
    case = _Case(desk, "agreement", "agreements", desk.read.agreements)

    @router.get("/vertraege/{identifier:path}")
    async def agreement(request: Request, identifier: str) -> Response:
        return await case.page(request, identifier)

    @router.post("/vertraege/{identifier:path}/beenden")
    async def end(
        request: Request,
        identifier: str,
        csrf: Field = "",
        reason: Field = "",
    ) -> Response:
        return await case.decline(
            request, identifier, csrf=csrf, reason=reason, decide=decide.end_agreement, done="ended"
        )


def _add_computation(router: APIRouter, desk: _Desk, decide: StewardDecisions) -> None:
    case = _Case(desk, "computation", "computations", desk.read.computations)

    @router.get("/rechnen/{identifier:path}")
    async def computation(request: Request, identifier: str) -> Response:
        return await case.page(request, identifier)

    @router.post("/rechnen/{identifier:path}/freigeben")
    async def release(request: Request, identifier: str, csrf: Field = "") -> Response:
        return await case.agree(
            request, identifier, csrf=csrf, decide=decide.release_computation, done="released"
        )

    @router.post("/rechnen/{identifier:path}/verweigern")
    async def refuse(
        request: Request,
        identifier: str,
        csrf: Field = "",
        reason: Field = "",
    ) -> Response:
        return await case.decline(
            request, identifier, csrf=csrf, reason=reason, decide=decide.refuse_computation, done="refused"
        )


def _outcome(done: str, line: _AnyLine) -> str:
    """What to tell after a decision: accepting means something else for each question."""
    if done != "accepted" or not isinstance(line, NegotiationLine) or line.question is Question.REQUEST:
        return done
    return f"{done}_{line.question}"


_Line = TypeVar("_Line", bound=_AnyLine)


class _Case:
    """One thing a person can decide on, and the answers."""

    def __init__(
        self, desk: _Desk, name: str, section: str, reader: Callable[[], Awaitable[tuple[_Line, ...]]]
    ) -> None:
        self._desk = desk
        self._name = name
        self._section = section
        self._reader = reader

    async def _find(self, identifier: str) -> _AnyLine | None:
        return next((line for line in await self._reader() if line.id == identifier), None)

    async def page(
        self,
        request: Request,
        identifier: str,
        *,
        problem: str | None = None,
        reason: str = "",
        status: int = 200,
    ) -> Response:
        line = await self._find(identifier)
        if line is None:
            return await self._desk.problem(request, self._section, "problem.missing", 404)
        t = TRANSLATORS[page_language(request)]
        title = t(f"{self._name}.title", dataset=t.pick(line.dataset_title))
        return await self._desk.show(
            request,
            f"{self._name}.html",
            self._section,
            line,
            title=title,
            status=status,
            problem=problem,
            reason=reason,
        )

    async def agree(
        self,
        request: Request,
        identifier: str,
        *,
        csrf: str,
        decide: Callable[[str], Awaitable[None]],
        done: str,
    ) -> Response:
        return await self._settle(
            request, identifier, csrf=csrf, decide=lambda: decide(identifier), done=done
        )

    async def decline(
        self,
        request: Request,
        identifier: str,
        *,
        csrf: str,
        reason: str,
        decide: Callable[[str, str], Awaitable[None]],
        done: str,
    ) -> Response:
        words = reason.strip()
        t = TRANSLATORS[page_language(request)]
        wrong = None
        if not words:
            wrong = t("problem.reason_missing")
        elif len(words) > LONGEST_REASON:
            wrong = t("problem.reason_too_long", limit=LONGEST_REASON)
        if wrong is not None and self._desk.is_ours(request, csrf):
            return await self.page(request, identifier, problem=wrong, reason=words, status=422)
        return await self._settle(
            request, identifier, csrf=csrf, decide=lambda: decide(identifier, words), done=done
        )

    async def _settle(
        self,
        request: Request,
        identifier: str,
        *,
        csrf: str,
        decide: Callable[[], Awaitable[None]],
        done: str,
    ) -> Response:
        if not self._desk.is_ours(request, csrf):
            return await self._desk.problem(request, self._section, "problem.csrf", 403)
        line = await self._find(identifier)
        if line is None:
            return await self._desk.problem(request, self._section, "problem.missing", 404)
        try:
            await decide()
        except DecisionNotPossibleError as error:
            sentence = TRANSLATORS[page_language(request)].pick(error.reason)
            return await self._desk.refuse(request, self._section, sentence, 409)
        address = dict(_NAVIGATION)[self._section]
        return RedirectResponse(f"{address}?done={_outcome(done, line)}", 303, headers=_HEADERS)

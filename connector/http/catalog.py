"""The public catalog on the web: for people as HTML, for portals as Turtle or JSON-LD.

Source:
    RFC 9110 (content negotiation, conditional requests); DCAT-AP 3.0.1.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from fastapi import APIRouter, Request, Response

from catalog.dcat import JSON_LD, TURTLE, serialise, to_dcat_graph
from catalog.model import Catalog, Dataset, page_key
from connector.http.negotiation_of_content import choose_language, choose_media_type
from connector.http.page_headers import PAGE_HEADERS

HTML: Final = "text/html"
LANGUAGES: Final = ("de", "en")
LANGUAGE_COOKIE: Final = "allmende_language"

_CATALOG_ORDER: Final = (TURTLE, JSON_LD, HTML, "application/json")
_DATASET_ORDER: Final = (HTML, TURTLE, JSON_LD, "application/json")
_SUFFIXES: Final = {"ttl": TURTLE, "jsonld": JSON_LD, "html": HTML}


class CatalogReader(Protocol):
    """Where the published catalog comes from."""

    async def catalog(self) -> Catalog:
        """The participant's catalog.

        Returns:
            The same object until something changes: representations are
            computed once per object.
        """
        ...


class CatalogPages(Protocol):
    """How the catalog is shown to people."""

    def catalog_page(self, catalog: Catalog, language: str) -> str:
        """The page of the whole catalog, as HTML in `de` or `en`."""
        ...

    def dataset_page(self, dataset: Dataset, catalog: Catalog, language: str) -> str:
        """The page of one dataset with its terms, likewise."""
        ...


@dataclass(frozen=True, slots=True)
class Representation:
    """One form of the catalog, ready to be sent.

    Attributes:
        media_type: What it is.
        body: Its bytes.
        etag: Strong entity tag, in quotation marks.
    """

    media_type: str
    body: bytes
    etag: str


class Representations:
    """The catalog in every form asked for so far, computed once per change."""

    def __init__(self, read: CatalogReader, pages: CatalogPages) -> None:
        """Start empty.

        Args:
            read: Where the catalog comes from.
            pages: How it is shown to people.
        """
        self._read = read
        self._pages = pages
        self._catalog: Catalog | None = None
        self._known: dict[tuple[str | None, str, str], Representation] = {}

    async def get(self, key: str | None, media_type: str, language: str) -> Representation | None:
        """One representation of the catalog, or of one dataset in it.

        Args:
            key: Page key of the dataset; None for the whole catalog.
            media_type: HTML or a media type of `catalog.dcat`.
            language: Language of an HTML page.

        Returns:
            The representation; None where no such dataset is published.
        """
        catalog = await self._read.catalog()
        if catalog is not self._catalog:
            self._catalog, self._known = catalog, {}
        dataset = None if key is None else catalog.find(key)
        if key is not None and dataset is None:
            return None
        slot = (key, media_type, language if media_type == HTML else "")
        if slot not in self._known:
            self._known[slot] = self._make(catalog, dataset, media_type, language)
        return self._known[slot]

    def _make(
        self, catalog: Catalog, dataset: Dataset | None, media_type: str, language: str
    ) -> Representation:
        body = self._body(catalog, dataset, media_type, language)
        return Representation(media_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def _body(self, catalog: Catalog, dataset: Dataset | None, media_type: str, language: str) -> bytes:
        if media_type == HTML and dataset is None:
            return self._pages.catalog_page(catalog, language).encode()
        if media_type == HTML and dataset is not None:
            return self._pages.dataset_page(dataset, catalog, language).encode()
        shown = catalog if dataset is None else replace(catalog, datasets=(dataset,))
        return serialise(to_dcat_graph(shown), media_type)


def catalog_router(read: CatalogReader, pages: CatalogPages) -> APIRouter:
    """The routes of the public catalog.

    `/catalog` and `/datasets/{key}` negotiate their representation; with the
    suffix `.ttl`, `.jsonld` or `.html` it is fixed.

    Args:
        read: Where the catalog comes from.
        pages: How it is shown to people.
    """
    router = APIRouter()
    representations = Representations(read, pages)

    async def catalog(request: Request) -> Response:
        """Answer with the catalog in the form that the client prefers."""
        return await _negotiated(request, representations, None, _CATALOG_ORDER)

    async def dataset(request: Request, key: str) -> Response:
        """Answer with one dataset in the form that the client prefers."""
        stem, _, suffix = key.rpartition(".")
        if stem and suffix in _SUFFIXES:
            return await _answer(request, representations, stem, _SUFFIXES[suffix])
        return await _negotiated(request, representations, key, _DATASET_ORDER)

    router.add_api_route("/catalog", catalog, methods=["GET", "HEAD"], include_in_schema=False)
    for suffix, media_type in _SUFFIXES.items():
        fixed = _fixed(representations, media_type)
        router.add_api_route(f"/catalog.{suffix}", fixed, methods=["GET", "HEAD"], include_in_schema=False)
    router.add_api_route("/datasets/{key:path}", dataset, methods=["GET", "HEAD"], include_in_schema=False)
    return router


def _fixed(representations: Representations, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        """Answer with the catalog in the form that the suffix names."""
        return await _answer(request, representations, None, media_type)

    return answer


async def _negotiated(
    request: Request, representations: Representations, key: str | None, order: tuple[str, ...]
) -> Response:
    wanted = choose_media_type(request.headers.get("accept"), order)
    if wanted is None:
        return _not_acceptable(page_language(request))
    # Plain JSON is what JSON-LD is; readers that know nothing else still get it.
    return await _answer(request, representations, key, JSON_LD if wanted == "application/json" else wanted)


async def _answer(
    request: Request, representations: Representations, key: str | None, media_type: str
) -> Response:
    language = page_language(request)
    found = await representations.get(key, media_type, language)
    if found is None:
        return Response(_NOT_FOUND[language], 404, media_type="text/plain", headers={"Vary": _VARY})
    headers = _headers(found, language)
    address = "/catalog" if key is None else f"/datasets/{page_key(key)}"
    headers["Link"] = ", ".join(_alternates(address))
    if _is_known(request.headers.get("if-none-match"), found.etag):
        return Response(status_code=304, headers=headers)
    response = Response(found.body, media_type=found.media_type, headers=headers)
    remember_language(request, response)
    return response


_VARY: Final = "Accept, Accept-Language, Cookie"
_NOT_FOUND: Final = {
    "de": "Diesen Datensatz gibt es hier nicht oder nicht mehr. Den Katalog finden Sie unter /catalog.\n",
    "en": "There is no such dataset here, or no longer. The catalog is at /catalog.\n",
}


def _headers(found: Representation, language: str) -> dict[str, str]:
    headers = {"ETag": found.etag, "Vary": _VARY, "Cache-Control": "no-cache"}
    if found.media_type == HTML:
        headers |= PAGE_HEADERS | {"Content-Language": language}
    return headers


def _alternates(address: str) -> list[str]:
    return [
        f'<{address}.{suffix}>; rel="alternate"; type="{media_type}"'
        for suffix, media_type in _SUFFIXES.items()
    ]


_OFFERED: Final = f"{HTML}, {TURTLE}, {JSON_LD}"
_NOT_ACCEPTABLE: Final = {
    "de": f"Den Katalog gibt es als {_OFFERED}. Fordern Sie eines davon im Accept-Header an.\n",
    "en": f"The catalog exists as {_OFFERED}. Ask for one of these in the Accept header.\n",
}


def _not_acceptable(language: str) -> Response:
    return Response(_NOT_ACCEPTABLE[language], 406, media_type="text/plain", headers={"Vary": _VARY})


def _is_known(header: str | None, etag: str) -> bool:
    stated = {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
    return "*" in stated or etag in stated


def page_language(request: Request) -> str:
    """The language of a page: as asked for now, as chosen before, or as the browser prefers.

    Args:
        request: The request; `?lang=` goes before the cookie, the cookie before
            the Accept-Language header.
    """
    for stated in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if stated in LANGUAGES:
            return stated
    return choose_language(request.headers.get("accept-language"), LANGUAGES)


def remember_language(request: Request, response: Response) -> None:
    """Keep a language chosen with `?lang=` in a cookie for the following pages.

    Args:
        request: The request; without a choice in it nothing happens.
        response: The answer that carries the cookie.
    """
    chosen = request.query_params.get("lang")
    if chosen in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, chosen, max_age=365 * 86400, samesite="lax", httponly=True)

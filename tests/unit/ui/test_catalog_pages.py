"""The public catalog answers browsers, portals and caches."""

from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from httpx import ASGITransport, AsyncClient

from catalog.model import Offer
from policies.odrl import parse_policy
from tests.unit.catalog.example_catalog import UUID, catalog, dataset, offer_document
from tests.unit.ui.example_steward import FakeCatalogReader, public_app

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def reader() -> FakeCatalogReader:
    return FakeCatalogReader()


@pytest.fixture
async def client(reader: FakeCatalogReader) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app=public_app(reader))
    async with AsyncClient(transport=transport, base_url="http://provider") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "accept", "media_type"),
    [
        ("/catalog", "*/*", "text/turtle"),
        ("/catalog", BROWSER, "text/html"),
        ("/catalog", "application/ld+json", "application/ld+json"),
        ("/catalog", "application/json", "application/ld+json"),
        ("/catalog.ttl", BROWSER, "text/turtle"),
        ("/catalog.jsonld", BROWSER, "application/ld+json"),
        ("/catalog.html", "text/turtle", "text/html"),
        (f"/datasets/{UUID}", "*/*", "text/html"),
        (f"/datasets/{UUID}", "text/turtle", "text/turtle"),
        (f"/datasets/{UUID}.jsonld", BROWSER, "application/ld+json"),
    ],
)
async def test_everyone_gets_the_form_they_ask_for(
    client: AsyncClient, path: str, accept: str, media_type: str
) -> None:
    answer = await client.get(path, headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert "Accept" in answer.headers["vary"]
    assert 'rel="alternate"' in answer.headers["link"]


async def test_a_form_that_does_not_exist_is_refused_with_those_that_do(client: AsyncClient) -> None:
    answer = await client.get("/catalog", headers={"Accept": "application/rdf+xml"})

    assert answer.status_code == 406
    assert "text/turtle" in answer.text


async def test_an_unchanged_catalog_is_not_sent_again(client: AsyncClient) -> None:
    first = await client.get("/catalog.ttl")
    again = await client.get("/catalog.ttl", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})

    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_changed_catalog_is_sent_with_a_new_tag(
    client: AsyncClient, reader: FakeCatalogReader
) -> None:
    first = await client.get("/catalog.ttl")
    reader.current = replace(catalog(), title="Stadtwerke Rheinaue GmbH")
    second = await client.get("/catalog.ttl", headers={"If-None-Match": first.headers["etag"]})

    assert second.status_code == 200
    assert second.headers["etag"] != first.headers["etag"]
    assert "Rheinaue GmbH" in second.text


async def test_each_form_has_its_own_tag(client: AsyncClient) -> None:
    tags = {(await client.get(f"/catalog.{suffix}")).headers["etag"] for suffix in ("ttl", "jsonld", "html")}
    tags.add((await client.get("/catalog.html?lang=en")).headers["etag"])

    assert len(tags) == 4


@pytest.mark.parametrize(
    ("language", "badge"), [("de", "technisch durchgesetzt"), ("en", "technically enforced")]
)
async def test_the_page_of_a_dataset_shows_who_makes_each_term_hold(
    client: AsyncClient, language: str, badge: str
) -> None:
    answer = await client.get(f"/datasets/{UUID}.html", headers={"Accept-Language": language})

    assert f'<html lang="{language}">' in answer.text
    assert answer.text.count(f"{badge}</span>") > 10


PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "https://w3id.org/dpv#Marketing"}
END = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"}
PLACE = {"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "DE"}


@pytest.mark.parametrize(
    ("kind", "connective", "language", "head"),
    [
        ("permission", "and", "en", "All 2 conditions must hold:"),
        ("permission", "or", "en", "At least one of 2 conditions must hold:"),
        ("permission", "or", "de", "Mindestens eine von 2 Bedingungen muss gelten:"),
        ("permission", "xone", "de", "Genau eine von 2 Bedingungen muss gelten:"),
        ("permission", "andSequence", "en", "All 2 conditions must hold, in this order:"),
        ("prohibition", "or", "en", "Holds if at least one of 2 conditions is true:"),
        ("obligation", "xone", "de", "Gilt, wenn genau eine von 2 Bedingungen zutrifft:"),
    ],
)
async def test_the_page_of_a_dataset_shows_conditions_below_what_joins_them(
    client: AsyncClient, reader: FakeCatalogReader, kind: str, connective: str, language: str, head: str
) -> None:
    document = offer_document()
    document[kind] = [{"action": "use", "constraint": [{connective: [PURPOSE, {"and": [END, PLACE]}]}]}]
    reader.current = catalog(dataset(offer=Offer(parse_policy(document), document)))

    page = (await client.get(f"/datasets/{UUID}.html", headers={"Accept-Language": language})).text

    items = items_of(page)
    [first] = [number for number, (_, text) in enumerate(items) if text == head]
    depth = items[first][0]
    assert [level - depth for level, _ in items[first : first + 5]] == [0, 1, 1, 2, 2]
    words = ["marketing", "All 2 conditions:", "2027", "DE"]
    if language == "de":
        words[:2] = ["Marketing", "Alle 2 Bedingungen:"]
    assert all(word in text for word, (_, text) in zip(words, items[first + 1 : first + 5], strict=True))


class _Items(HTMLParser):
    """The items of lists, each with how many lists it stands in and its own text."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.found: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  the parser's
        self.depth += tag in {"ul", "ol"}
        if tag == "li":
            self.found.append((self.depth, ""))

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in {"ul", "ol"}

    def handle_data(self, data: str) -> None:
        if self.found and self.depth:
            depth, text = self.found[-1]
            self.found[-1] = depth, f"{text} {data.strip()}".strip()


def items_of(page: str) -> list[tuple[int, str]]:
    parser = _Items()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("path", ["/datasets/unknown", "/datasets/unknown.ttl", "/datasets/..%2Fcatalog"])
async def test_an_unknown_dataset_is_not_found(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_withdrawn_dataset_is_not_found(client: AsyncClient, reader: FakeCatalogReader) -> None:
    reader.current = catalog(dataset(publishing=False))

    assert (await client.get(f"/datasets/{UUID}")).status_code == 404


async def test_text_of_the_catalog_cannot_become_markup(
    client: AsyncClient, reader: FakeCatalogReader
) -> None:
    attack = '"><script>alert(1)</script>'
    texts = {"de": attack, "en": attack}
    reader.current = catalog(dataset(title=texts, description=texts, keywords=(attack,)), title=attack)

    for path in ("/catalog.html", f"/datasets/{UUID}.html"):
        answer = await client.get(path)
        assert "<script" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_licence_that_is_a_script_is_no_link(client: AsyncClient, reader: FakeCatalogReader) -> None:
    reader.current = catalog(dataset(license="javascript:alert(1)"))

    assert 'href="javascript' not in (await client.get(f"/datasets/{UUID}.html")).text

"""Catalogs that lead astray, and catalog requests that ask for what nobody understands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from connector.adapters.http_peers import links_in
from tests.region.participants import (
    DATASETS,
    ORIGINS,
    Participant,
    Region,
    Stranger,
    dsp,
    leaks_nothing,
    publication,
    voice_of,
)

BASE = ORIGINS["stranger"] + "/dsp/2025-1"
REQUEST = "/dsp/2025-1/catalog/request"


# a provider attacks whoever reads its catalog


class Provider(Stranger):
    """Somebody with a catalog of any shape; `link` says where each page leads.

    Args:
        link: The `Link` header after so many pages; None for none.
    """

    def __init__(self, directory: Path, region: Region, link: Callable[[int], str | None]) -> None:
        super().__init__(directory, region.network)
        self.pages: list[dict[str, Any]] = []
        self.bodies: list[Any] = []
        self._link = link
        self.owner = self.did
        self.size = 0

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != REQUEST:
            await super()._serve(scope, receive, send)
            return
        self.bodies.append(json.loads((await receive())["body"]))
        number = len(self.pages)
        catalog = dsp(
            "Catalog",
            **{"@id": "urn:catalog", "participantId": self.owner if number else self.did},
            dataset=[{"@id": f"urn:dataset:{number}", "@type": "Dataset", "x": "x" * self.size}],
        )
        self.pages.append({"method": scope["method"], **parse_qs(scope["query_string"].decode())})
        link = self._link(number)
        await JSONResponse(catalog, headers={"link": link} if link else None)(scope, receive, send)


async def read(region: Region, provider: Provider, **more: Any) -> httpx.Response:
    answer = await region.lastwerk.answer("POST", "/api/catalogs", {"provider": provider.did, **more})
    leaks_nothing(answer, region)
    return answer


async def refused(region: Region, provider: Provider) -> str:
    before = region.lastwerk.state()
    answer = await read(region, provider)
    assert answer.status_code == 422, answer.text
    assert region.lastwerk.state() == before, "half a catalog was remembered"
    return str(answer.json()["detail"])


def pages(count: int) -> Callable[[int], str | None]:
    def link(number: int) -> str | None:
        return f'<{BASE}/catalog/request?page={number + 1}>; rel="next"' if number + 1 < count else None

    return link


async def test_an_honest_catalog_is_read_to_its_last_page(published: Region, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "stranger", published, pages(3))

    answer = await read(published, provider, filter=[{"keyword": "x"}])

    found = [one["identifier"] for one in answer.json()["datasets"]]
    assert found == ["urn:dataset:0", "urn:dataset:1", "urn:dataset:2"]
    assert provider.pages == [
        {"method": "POST"},
        {"method": "POST", "page": ["1"]},
        {"method": "POST", "page": ["2"]},
    ]
    assert [body["filter"] for body in provider.bodies] == [[{"keyword": "x"}]] * 3


ELSEWHERE = (
    "http://localhost:18083/dsp/2025-1/catalog/request",
    "https://localhost:18084/dsp/2025-1/catalog/request",
    "http://localhost:18084@localhost:18083/",
    "//169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "http://[::1",
)


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_a_page_at_another_origin_is_not_read(published: Region, tmp_path: Path, address: str) -> None:
    provider = Provider(tmp_path / "stranger", published, lambda _: f'<{address}>; rel="next"')
    passed = len(published.network.passed)

    assert "another origin" in await refused(published, provider)

    called = {httpx.URL(one.url).netloc for one in published.network.passed[passed:]}
    assert called == {b"localhost:18084"}
    assert len(provider.pages) == 1


@pytest.mark.parametrize(
    "link",
    [
        lambda _: f'<{BASE}/catalog/request>; rel="next"',
        lambda _: '</dsp/2025-1/catalog/request>; rel="next"',
        lambda number: f'<{BASE}/catalog/request?page={number % 3}>; rel="next"',
    ],
)
async def test_a_catalog_that_leads_in_a_circle_is_refused(
    published: Region, tmp_path: Path, link: Callable[[int], str]
) -> None:
    provider = Provider(tmp_path / "stranger", published, link)
    assert "in a circle" in await refused(published, provider)
    assert len(provider.pages) <= 4


async def test_a_catalog_without_end_is_given_up(published: Region, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "stranger", published, pages(10_000))
    assert "more than 100 pages" in await refused(published, provider)
    assert len(provider.pages) == 100


async def test_a_catalog_is_not_larger_for_being_in_pages(published: Region, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "stranger", published, pages(50))
    provider.size = 900_000
    assert "more than" in await refused(published, provider)
    assert len(provider.pages) == 23, "twenty megabytes and what was on its way"


async def test_a_page_of_somebody_elses_catalog_is_refused(published: Region, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "stranger", published, pages(2))
    provider.owner = published.rheinaue.did
    assert f"is {published.rheinaue.did}'s" in await refused(published, provider)


async def test_a_page_that_fails_fails_the_whole(published: Region, tmp_path: Path) -> None:
    provider = Provider(tmp_path / "stranger", published, pages(3))
    before = published.lastwerk.state()

    def broken(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        found = b"page=2" in request.url.query
        return httpx.Response(503 if found else answer.status_code, headers=answer.headers, content=content)

    published.network.tamper = broken
    answer = await read(published, provider)

    assert answer.status_code == 502
    assert published.lastwerk.state() == before


LINKS = {
    "none": ("", {}),
    "one": ("<https://a.example/2>; rel=next", {"next": "https://a.example/2"}),
    "both": (
        '<https://a.example/1>; rel="previous", <https://a.example/3>; rel="next"',
        {"previous": "https://a.example/1", "next": "https://a.example/3"},
    ),
    "relative": ("<?page=2>; rel=next", {"next": "https://a.example/catalog?page=2"}),
    "two relations": (
        '</last>; rel="next last"',
        {"next": "https://a.example/last", "last": "https://a.example/last"},
    ),
    "capital": ('<https://a.example/2>; rel="NEXT"', {"next": "https://a.example/2"}),
    "without a relation": ("<https://a.example/2>", {}),
    "rubbish": ("<<<>;;;=,,", {}),
}


@pytest.mark.parametrize(("header", "links"), LINKS.values(), ids=LINKS.keys())
def test_links_are_read_from_a_header(header: str, links: dict[str, str]) -> None:
    assert links_in({"link": header}, "https://a.example/catalog") == links


# somebody attacks our catalog


async def ask(
    region: Region, wanted: Any, *, path: str = "/catalog/request", method: str = "POST"
) -> httpx.Response:
    message = dsp("CatalogRequestMessage", **({} if wanted is None else {"filter": wanted}))
    return await voice_of(region.lastwerk).say(region.rheinaue, path, message, method=method)


def of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["@id"] for one in answer.json().get("dataset", [])]


async def second(provider: Participant) -> str:
    both = {"de": "Gasverbrauch", "en": "Gas consumption"}
    body = publication(provider, identifier="urn:uuid:gas", title=both, keywords=["Gas"])
    await provider.call("POST", "/api/datasets", body)
    return "urn:uuid:gas"


async def test_a_catalog_is_filtered_and_read_page_by_page(published: Region) -> None:
    power, gas = DATASETS["rheinaue"], await second(published.rheinaue)
    assert of(await ask(published, None)) == of(await ask(published, [])) == [power, gas]
    assert of(await ask(published, [{"keyword": "gas"}])) == [gas]
    assert of(await ask(published, [{"text": "last"}])) == [power, gas], "both are described as load profiles"
    assert of(await ask(published, [{"dataset": "urn:uuid:none"}])) == []

    first = await ask(published, [{"@type": "QuerySpec", "limit": 1}])
    assert of(first) == [power]
    onwards = links_in({"link": first.headers["link"]}, "")
    assert set(onwards) == {"next"}
    assert onwards["next"].startswith(published.rheinaue.origin + REQUEST + "?")
    path = onwards["next"].removeprefix(published.rheinaue.origin + "/dsp/2025-1")
    for method in ("POST", "GET"):
        last = await ask(published, None, path=path, method=method)
        assert of(last) == [gas]
        assert set(links_in({"link": last.headers["link"]}, "")) == {"previous"}


async def test_our_own_consumer_reads_all_pages(published: Region) -> None:
    gas = await second(published.rheinaue)
    answer = await published.lastwerk.call(
        "POST", "/api/catalogs", {"provider": published.rheinaue.did, "filter": [{"limit": 1}]}
    )
    assert [one["identifier"] for one in answer["datasets"]] == [DATASETS["rheinaue"], gas]
    assert len(published.network.sent("/catalog/request")) >= 2


@pytest.mark.parametrize(
    "wanted",
    [
        ["everything"],
        [{}],
        [{"colour": "red"}],
        [{"@type": "SparqlQuery", "query": "SELECT *"}],
        [{"keyword": 7}],
        [{"limit": -1}],
        [{"text": "x" * 5000}],
        [[[]]],
    ],
)
async def test_a_filter_that_nobody_understands_is_refused_with_a_catalog_error(
    published: Region, wanted: Any
) -> None:
    before = published.rheinaue.state()
    answer = await ask(published, wanted)
    assert answer.status_code == 400, answer.text
    assert answer.json()["@type"] == "CatalogError"
    assert answer.json()["code"] == "400"
    assert answer.json()["reason"][0].endswith(".")
    leaks_nothing(answer, published)
    assert published.rheinaue.state() == before


@pytest.mark.parametrize("token", ["", "page2", "a" * 20_000, "..%2F..%2Fetc%2Fpasswd"])
async def test_an_invented_page_is_refused_with_a_catalog_error(published: Region, token: str) -> None:
    for method in ("POST", "GET"):
        answer = await ask(published, None, path=f"/catalog/request?continuationToken={token}", method=method)
        assert (answer.status_code, answer.json()["@type"]) == (400, "CatalogError")
    nothing = await ask(published, None, method="GET")
    assert (nothing.status_code, nothing.json()["@type"]) == (400, "CatalogError")


async def test_a_page_is_only_for_participants_too(published: Region) -> None:
    async with published.rheinaue.public() as client:
        answer = await client.get(REQUEST + "?continuationToken=x")
    assert (answer.status_code, answer.json()["@type"]) == (404, "CatalogError")

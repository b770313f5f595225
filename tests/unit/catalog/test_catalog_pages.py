"""A catalog in pages: nothing twice, nothing left out, whatever comes and goes meanwhile."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from catalog.dsp import to_dsp_catalog, to_dsp_dataset
from catalog.model import Dataset
from catalog.pages import Page, PreparedCatalog
from catalog.selection import read_filter, read_token
from tests.unit.catalog.example_catalog import catalog, dataset

FIRST = datetime(2026, 11, 21, 8, tzinfo=UTC)


def numbered(number: int, **changes: Any) -> Dataset:
    return dataset(identifier=f"urn:uuid:{number:04}", issued=FIRST + timedelta(minutes=number), **changes)


def prepared(*datasets: Dataset) -> PreparedCatalog:
    return PreparedCatalog(catalog(*datasets))


def identifiers(page: Page) -> list[str]:
    return [one["@id"] for one in json.loads(page.body).get("dataset", [])]


def place(address: str | None) -> str:
    assert address is not None
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("https", "stadtwerke-rheinaue.example")
    assert parts.path == "/dsp/2025-1/catalog/request"
    (token,) = parse_qs(parts.query)["continuationToken"]
    return token


def walk(reader: PreparedCatalog, *wanted: Any) -> list[list[str]]:
    """All pages, forwards."""
    page = reader.page(read_filter(wanted))
    seen = [identifiers(page)]
    while page.next is not None:
        page = reader.page(read_token(place(page.next)))
        seen.append(identifiers(page))
    return seen


def test_a_small_catalog_is_one_page_and_the_same_document_as_ever() -> None:
    ours = catalog(numbered(1), numbered(2))
    page = PreparedCatalog(ours).page()
    assert json.loads(page.body) == json.loads(json.dumps(to_dsp_catalog(ours)))
    assert (page.next, page.previous) == (None, None)


def test_an_empty_catalog_names_no_datasets() -> None:
    page = prepared(numbered(1, publishing=False)).page()
    assert "dataset" not in json.loads(page.body)
    assert (page.next, page.previous) == (None, None)


def test_a_dataset_alone_is_the_same_document_as_ever() -> None:
    ours = catalog(numbered(1), numbered(2, publishing=False))
    reader = PreparedCatalog(ours)
    alone = reader.dataset("urn:uuid:0001")
    assert alone is not None
    assert json.loads(alone) == json.loads(json.dumps(to_dsp_dataset(ours.datasets[0], ours)))
    assert reader.dataset("urn:uuid:0002") is None
    assert reader.dataset("") is None


def test_a_catalog_is_prepared_once() -> None:
    reader = prepared(numbered(1))
    assert reader.page() is reader.page()


def test_the_hundred_and_first_dataset_is_on_the_second_page() -> None:
    first, second = walk(prepared(*(numbered(number) for number in range(101))))
    assert (len(first), second) == (100, ["urn:uuid:0100"])


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 4))
def test_forwards_and_backwards_every_dataset_is_seen_once(count: int, size: int, offset: int) -> None:
    expected = [f"urn:uuid:{number:04}" for number in range(count)][offset:]
    reader = prepared(*(numbered(number) for number in reversed(range(count))))
    page = reader.page(read_filter([{"limit": size, "offset": offset}]))
    seen = identifiers(page)
    while page.next is not None:
        page = reader.page(read_token(place(page.next)))
        assert 0 < len(identifiers(page)) <= size
        seen += identifiers(page)
    assert seen == expected
    back = identifiers(page)
    while page.previous is not None:
        page = reader.page(read_token(place(page.previous)))
        back = identifiers(page) + back
    assert back == ([f"urn:uuid:{number:04}" for number in range(count)] if expected else [])


@given(st.sets(st.integers(0, 20), min_size=1), st.sets(st.integers(0, 20), min_size=1), st.integers(1, 4))
def test_what_stays_is_seen_once_while_others_come_and_go(
    before: set[int], after: set[int], size: int
) -> None:
    """The catalog changes between the first page and the second."""
    page = prepared(*(numbered(number) for number in before)).page(read_filter([{"limit": size}]))
    seen = identifiers(page)
    later = prepared(*(numbered(number) for number in after))
    while page.next is not None:
        page = later.page(read_token(place(page.next)))
        seen += identifiers(page)
    assert len(seen) == len(set(seen))
    assert {f"urn:uuid:{number:04}" for number in before & after} <= set(seen)


def test_a_filter_holds_on_every_page() -> None:
    some = [numbered(number, keywords=("Strom",) if number % 2 else ("Gas",)) for number in range(8)]
    assert walk(prepared(*some), {"keyword": "STROM"}, {"limit": 3}) == [
        ["urn:uuid:0001", "urn:uuid:0003", "urn:uuid:0005"],
        ["urn:uuid:0007"],
    ]


def test_datasets_are_found_by_what_describes_them() -> None:
    gas = numbered(
        1,
        title={"de": "Gasverbrauch", "en": "Gas consumption"},
        description={"de": "Größen", "en": "Sizes"},
        keywords=("Gas",),
        themes=("ENER",),
        table="gas",
    )
    power = numbered(2, themes=("TRAN",))
    reader = prepared(gas, power)
    for wanted, found in (
        ({"dataset": "urn:uuid:0001"}, ["urn:uuid:0001"]),
        ({"keyword": "gas"}, ["urn:uuid:0001"]),
        ({"keyword": "ga"}, []),
        ({"theme": "ENER"}, ["urn:uuid:0001"]),
        ({"theme": ["ENER", "TRAN"]}, ["urn:uuid:0001", "urn:uuid:0002"]),
        ({"table": "load_profiles"}, ["urn:uuid:0002"]),
        ({"format": "AllmendeQuery-PULL"}, ["urn:uuid:0001", "urn:uuid:0002"]),
        ({"text": "CONSUMPTION"}, ["urn:uuid:0001"]),
        ({"text": "GRÖSSEN"}, ["urn:uuid:0001"]),
        ({"text": "größen", "theme": "TRAN"}, []),
    ):
        assert walk(reader, wanted) == [found], wanted

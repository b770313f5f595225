"""The filter of a catalog request, and the place of a page."""

import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import SelectionError
from catalog.selection import Condition, Selection, read_filter, read_token, write_token

EDC = "https://w3id.org/edc/v0.0.1/ns/"

UNDERSTOOD: dict[str, tuple[list[Any], Selection]] = {
    "nothing": ([], Selection()),
    "one keyword": ([{"keyword": "Strom"}], Selection((Condition("keyword", ("strom",)),))),
    "one of several": (
        [{"theme": ["ENER", "http://publications.europa.eu/resource/authority/data-theme/TRAN"]}],
        Selection((Condition("theme", ("ener", "tran")),)),
    ),
    "two members": (
        [{"table": "load_profiles", "format": "AllmendeQuery-PULL"}],
        Selection((Condition("table", ("load_profiles",)), Condition("format", ("allmendequery-pull",)))),
    ),
    "two items": (
        [{"text": "last"}, {"dataset": "urn:uuid:1"}],
        Selection((Condition("text", ("last",)), Condition("dataset", ("urn:uuid:1",)))),
    ),
    "full names": (
        [{"http://www.w3.org/ns/dcat#keyword": [{"@value": "Strom"}]}],
        Selection((Condition("keyword", ("strom",)),)),
    ),
    "what EDC sends unless told otherwise": (
        [{"@type": "QuerySpec", "offset": 0, "limit": 50, "sortOrder": "DESC", "filterExpression": []}],
        Selection(size=50),
    ),
    "the same with full names": (
        [{"@type": EDC + "QuerySpec", EDC + "offset": 3, EDC + "limit": 7}],
        Selection(size=7, offset=3),
    ),
    "more than a page holds": ([{"limit": 2_000_000_000}], Selection(size=100)),
    "EDC asks for one": (
        [
            {
                "@type": "QuerySpec",
                "filterExpression": [
                    {"@type": "Criterion", "operandLeft": EDC + "id", "operator": "=", "operandRight": "a"}
                ],
            }
        ],
        Selection((Condition("dataset", ("a",)),)),
    ),
    "EDC asks for some": (
        [{"filterExpression": [{"operandLeft": "id", "operator": "in", "operandRight": ["a", "b"]}]}],
        Selection((Condition("dataset", ("a", "b")),)),
    ),
}


@pytest.mark.parametrize(("stated", "selection"), UNDERSTOOD.values(), ids=UNDERSTOOD.keys())
def test_a_filter_is_understood(stated: list[Any], selection: Selection) -> None:
    assert read_filter(stated) == selection


REFUSED: dict[str, tuple[Any, str]] = {
    "a text": ("Strom", "object"),
    "a number": (7, "object"),
    "nothing": (None, "object"),
    "an empty object": ({}, "empty"),
    "an unknown member": ({"colour": "red"}, "'colour'"),
    "a known member beside an unknown one": ({"keyword": "a", "colour": "red"}, "'colour'"),
    "another type": ({"@type": "SparqlQuery", "keyword": "a"}, "'@type'"),
    "an empty text": ({"keyword": ""}, "keyword"),
    "an empty list": ({"keyword": []}, "keyword"),
    "a list with a number": ({"keyword": ["a", 1]}, "keyword"),
    "a nested list": ({"keyword": [["a"]]}, "keyword"),
    "an order": ({"@type": "QuerySpec", "sortField": "id"}, "sortField"),
    "a negative offset": ({"offset": -1}, "offset"),
    "no limit at all": ({"limit": 0}, "limit"),
    "a truth as limit": ({"limit": True}, "limit"),
    "an unknown member of a query": ({"limit": 1, "joins": "x"}, "'joins'"),
    "an unknown operand": (
        {"filterExpression": [{"operandLeft": "price", "operator": "=", "operandRight": "1"}]},
        "'price'",
    ),
    "an unknown operator": (
        {"filterExpression": [{"operandLeft": "id", "operator": "ilike", "operandRight": "%"}]},
        "'ilike'",
    ),
    "a criterion that is none": ({"filterExpression": ["id = 1"]}, "Criterion"),
    "a long one": ({"text": "x" * 3000}, "2000"),
}


@pytest.mark.parametrize(("item", "named"), REFUSED.values(), ids=REFUSED.keys())
def test_a_filter_that_is_not_understood_is_refused_with_a_sentence(item: Any, named: str) -> None:
    with pytest.raises(SelectionError, match=named) as caught:
        read_filter([item])
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400


positions = st.tuples(st.text(max_size=30), st.text(max_size=60))
selections = st.builds(
    Selection,
    st.lists(
        st.builds(
            Condition,
            st.sampled_from(["dataset", "format", "keyword", "table", "text"]),
            st.lists(st.from_regex(r"[a-z0-9 äöü:-]{1,20}", fullmatch=True), min_size=1, max_size=3).map(
                tuple
            ),
        ),
        max_size=4,
    ).map(tuple),
    st.integers(1, 100),
    st.just(0),
    st.none() | positions,
    st.none() | positions,
)


@given(selections)
def test_the_place_of_a_page_is_read_as_it_was_written(selection: Selection) -> None:
    token = write_token(selection)
    assert read_token(token) == selection
    assert all(sign.isalnum() or sign in "-_" for sign in token)


def encoded(content: Any) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


INVENTED = {
    "empty": "",
    "no token": "page2",
    "not ASCII": "ä",
    "broken": write_token(replace(Selection(), after=("a", "b")))[:-3],
    "a list": encoded([]),
    "an empty object": encoded({}),
    "no size": encoded({"filter": []}),
    "a size of words": encoded({"filter": [], "size": "all"}),
    "an unknown filter": encoded({"filter": [{"colour": "red"}], "size": 1}),
    "half a position": encoded({"filter": [], "size": 1, "after": ["a"]}),
    "a position of numbers": encoded({"filter": [], "size": 1, "after": [1, 2]}),
    "a deep one": urlsafe_b64encode(b"[" * 4000).decode(),
    "a long one": "a" * 100_000,
}


@pytest.mark.parametrize("token", INVENTED.values(), ids=INVENTED.keys())
def test_an_invented_place_is_refused_with_a_sentence(token: str) -> None:
    with pytest.raises(SelectionError, match="continuationToken is none of ours"):
        read_token(token)

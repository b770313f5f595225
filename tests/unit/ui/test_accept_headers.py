"""Accept headers are read as RFC 9110 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.http.negotiation_of_content import choose_language, choose_media_type

OFFERED = ("text/turtle", "application/ld+json", "text/html")
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "text/turtle"),
        ("", "text/turtle"),
        ("*/*", "text/turtle"),
        (FIREFOX, "text/html"),
        ("application/ld+json", "application/ld+json"),
        ("text/turtle;q=0.5, application/ld+json;q=0.7", "application/ld+json"),
        ("text/*;q=0.3, text/html;q=0.9, */*;q=0.1", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("text/html;level=1;q=0.4, text/turtle;q=0.2", "text/html"),
        ("text/turtle;q=0, */*", "application/ld+json"),
        ("text/*;q=0, */*;q=0.5", "application/ld+json"),
        ("application/rdf+xml", None),
        ("text/turtle;q=0", None),
        ("text/turtle;q=2", None),
        ("text/turtle;q=0.1234", None),
        (",,;", None),
    ],
)
def test_the_most_wanted_media_type_is_chosen(header: str | None, chosen: str | None) -> None:
    assert choose_media_type(header, OFFERED) == chosen


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "de"),
        ("fr", "de"),
        ("en-GB,en;q=0.8", "en"),
        ("de-AT", "de"),
        ("fr, en;q=0.2", "en"),
        ("de;q=0, *;q=0.5", "en"),
        ("*", "de"),
    ],
)
def test_the_most_wanted_language_is_chosen(header: str | None, chosen: str) -> None:
    assert choose_language(header, ("de", "en")) == chosen


@given(st.text(max_size=200))
def test_no_header_breaks_the_choice(header: str) -> None:
    assert choose_media_type(header, OFFERED) in {*OFFERED, None}
    assert choose_language(header, ("de", "en")) in {"de", "en"}

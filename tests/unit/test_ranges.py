"""Which part of a file a request asks for: the table of RFC 9110, section 14, typed from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.http.ranges import RangeNotSatisfiableError, wanted_part
from connector.services.handing_over import Part

TAG = '"abc"'
SIZE = 10_000


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        # the examples of section 14.1.2, for a representation of length 10000
        ("bytes=0-499", 0, 499),
        ("bytes=500-999", 500, 999),
        ("bytes=-500", 9500, 9999),
        ("bytes=9500-", 9500, 9999),
        ("bytes=0-0", 0, 0),
        ("bytes=-1", 9999, 9999),
        # a last position, or a suffix, beyond the end means the rest
        ("bytes=9000-20000", 9000, 9999),
        ("bytes=-20000", 0, 9999),
        # the unit's name is case-insensitive
        ("Bytes=0-9", 0, 9),
    ],
)
def test_a_single_range_is_that_part(wanted: str, first: int, last: int) -> None:
    assert wanted_part(wanted, None, etag=TAG, size=SIZE) == Part(first, last)


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=0-1,5-6",
        "rows=0-5",
        "bytes=0-5; x",
        "bytes=\u0663-\u0665",
        "bytes=-\u0665",
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_what_is_no_single_range_of_bytes_means_the_whole_file(wanted: str | None) -> None:
    assert wanted_part(wanted, None, etag=TAG, size=SIZE) is None


@pytest.mark.parametrize("wanted", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_a_range_without_a_byte_of_the_file_is_not_satisfiable(wanted: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        wanted_part(wanted, None, etag=TAG, size=SIZE)
    assert refused.value.size == SIZE


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (TAG, True),
        ('"other"', False),
        ("W/" + TAG, False),  # a weak tag never matches, section 13.1.5
        ("Sat, 29 Oct 1994 19:43:31 GMT", False),
    ],
)
def test_a_part_is_given_only_of_the_version_that_is_named(condition: str, *, holds: bool) -> None:
    assert (wanted_part("bytes=0-0", condition, etag=TAG, size=SIZE) is not None) == holds


@given(st.text(max_size=40), st.integers(min_value=0, max_value=10**12))
def test_whatever_is_asked_the_part_lies_within_the_file(wanted: str, size: int) -> None:
    try:
        part = wanted_part("bytes=" + wanted, None, etag=TAG, size=size)
    except RangeNotSatisfiableError:
        return
    assert part is None or 0 <= part.first <= part.last < size

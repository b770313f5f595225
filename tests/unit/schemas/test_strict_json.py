"""Strict JSON: what it accepts is what every JSON reader makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.strict_json import MalformedJsonError, loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_written_as_json_is_read_back_the_same(value: object, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert loads(text) == value
    assert loads(text.encode()) == value


@given(st.text() | st.binary())
def test_any_input_is_read_as_json_reads_it_or_refused_with_a_sentence(data: str | bytes) -> None:
    refusal = None
    try:
        value = loads(data)
    except MalformedJsonError as error:
        refusal = str(error)
    if refusal is None:
        assert value == json.loads(data)
    else:
        assert refusal.endswith(".")


@given(st.integers(1, 40), st.sampled_from(["[]", "{}"]), st.integers(1, 40))
def test_exactly_the_allowed_depth_is_read(depth: int, kind: str, limit: int) -> None:
    opening, closing = ("[", "]") if kind == "[]" else ('{"]}[{": ', "}")
    text = opening * depth + "1" + closing * depth
    if depth <= limit:
        loads(text, max_depth=limit)
    else:
        with pytest.raises(MalformedJsonError, match=f"deeper than {limit} levels"):
            loads(text, max_depth=limit)


def test_brackets_in_strings_and_beside_each_other_do_not_count_as_depth() -> None:
    text = json.dumps({"a": "[" * 1000, 'b\\"[[[[': [[] for _ in range(1000)]})
    assert loads(text, max_depth=3) == json.loads(text)


def test_the_size_is_counted_in_bytes_of_utf_8() -> None:
    assert loads('"ü"', max_bytes=4) == "ü"
    for text in ('"ü"', '"ü"'.encode()):
        with pytest.raises(MalformedJsonError, match="has 4 bytes; at most 3"):
            loads(text, max_bytes=3)


def test_a_surrogate_pair_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_the_largest_safe_integers_are_read() -> None:
    assert loads("[9007199254740991, -9007199254740991, -0]") == [2**53 - 1, -(2**53) + 1, 0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": 1, "a": 2}', 'An object has the key "a" twice.'),
        ("[NaN]", "NaN is not a JSON value."),
        ("[1e999]", 'The number "1e999" is too large.'),
        ("{", "The text is not JSON: Expecting property name enclosed in double quotes (line 1, column 2)."),
        ("\ufeff{}", "The text starts with a byte order mark; send UTF-8 without it."),
        (b"\xff", "The text is not UTF-8 (byte 0)."),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str | bytes, sentence: str) -> None:
    with pytest.raises(MalformedJsonError) as caught:
        loads(text)
    assert str(caught.value) == sentence


def test_a_malformed_place_is_named_where_it_is_known() -> None:
    assert str(MalformedJsonError("The value is missing", "$.a")) == "$.a: The value is missing."

"""Typed values: what compares with what, and that everything else is unknown."""

from datetime import UTC, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.comparison import compare_literals
from policies.literals import Literal, Order, order, same
from policies.model import Operator
from policies.world import World, reaches

XSD = "http://www.w3.org/2001/XMLSchema#"
BEFORE, SAME, AFTER, UNKNOWN = Order.BEFORE, Order.SAME, Order.AFTER, None


def typed(lexical: str, name: str | None = None) -> Literal:
    return Literal(lexical, name and XSD + name)


ORDERS = [
    # left, its type, right, its type, how left lies to right
    ("2026-01-01T00:00:00Z", "dateTime", "2026-01-01T01:00:00+01:00", "dateTime", SAME),
    ("2026-01-01T00:00:00Z", "dateTime", "2026-01-01T00:00:00.000001Z", "dateTimeStamp", BEFORE),
    ("2026-01-01T00:00:00.999Z", "dateTime", "2026-01-01T00:00:00.998Z", "dateTime", AFTER),
    # a date is the whole day
    ("2026-01-01T15:00:00Z", "dateTime", "2026-01-01Z", "date", SAME),
    ("2026-01-01T00:00:00Z", "dateTime", "2026-01-01Z", "date", SAME),
    ("2026-01-02T00:00:00Z", "dateTime", "2026-01-01Z", "date", AFTER),
    ("2025-12-31T23:59:59Z", "dateTime", "2026-01-01Z", "date", BEFORE),
    ("2026-01-01Z", "date", "2026-01-01T15:00:00Z", "dateTime", SAME),
    ("2026-01-01Z", "date", "2026-01-02Z", "date", BEFORE),
    ("2026-01-01+02:00", "date", "2026-01-01+02:00", "date", SAME),
    # two days in different zones overlap without being the same
    ("2026-01-01+02:00", "date", "2026-01-01Z", "date", UNKNOWN),
    # a time without a zone is nowhere
    ("2026-01-01T00:00:00", "dateTime", "2027-01-01T00:00:00Z", "dateTime", UNKNOWN),
    ("2026-01-01", "date", "2026-01-01", "date", UNKNOWN),
    ("2026-02-30T00:00:00Z", "dateTime", "2027-01-01T00:00:00Z", "dateTime", UNKNOWN),
    ("9999-12-31Z", "date", "2027-01-01T00:00:00Z", "dateTime", UNKNOWN),
    # durations: a month is neither more nor less than 30 days (XML Schema, section 3.2.6.2)
    ("PT36H", "duration", "P1DT12H", "dayTimeDuration", SAME),
    ("P1Y", "duration", "P12M", "yearMonthDuration", SAME),
    ("P1M", "duration", "P30D", "duration", UNKNOWN),
    ("P1M", "duration", "P27D", "duration", AFTER),
    ("P1M", "duration", "P32D", "duration", BEFORE),
    ("P5M", "duration", "P149D", "duration", AFTER),
    ("P5M", "duration", "P150D", "duration", UNKNOWN),
    ("P5M", "duration", "P154D", "duration", BEFORE),
    ("-P1D", "duration", "PT0S", "duration", BEFORE),
    ("P", "duration", "P1D", "duration", UNKNOWN),
    ("P9999Y", "duration", "P1D", "duration", AFTER),
    # numbers, whatever they are called
    ("5", "integer", "5.00", "decimal", SAME),
    ("4.99", "decimal", "5", "nonNegativeInteger", BEFORE),
    ("1e3", "double", "999", "integer", AFTER),
    ("-5", "integer", "5", "integer", BEFORE),
    ("NaN", "double", "NaN", "double", UNKNOWN),
    ("5", "integer", "five", "integer", UNKNOWN),
    ("\u0665", "integer", "5", "integer", UNKNOWN),
    # texts are the same or have no order
    ("a", "string", "a", "anyURI", SAME),
    ("a", "string", "b", "string", UNKNOWN),
    ("true", "boolean", "1", "boolean", SAME),
    # other kinds never compare
    ("5", "integer", "5", "string", UNKNOWN),
    ("2026-01-01Z", "date", "2026", "integer", UNKNOWN),
    ("P1D", "duration", "86400", "integer", UNKNOWN),
    ("5", "unheardOf", "5", "unheardOf", UNKNOWN),
    # without a datatype, a value takes the kind of the other one
    ("5", None, "5.0", "decimal", SAME),
    ("5", None, "5.0", "string", UNKNOWN),
    ("2026-01-01T00:00:00Z", None, "2027-01-01Z", "date", BEFORE),
    # and two without any are what both look like
    ("5", None, "5.0", None, SAME),
    ("2026-03-11T00:00:00Z", None, "2026-03-11Z", None, SAME),
    ("P1D", None, "PT24H", None, SAME),
    ("5", None, "five", None, UNKNOWN),
]


@pytest.mark.parametrize(("left", "left_type", "right", "right_type", "expected"), ORDERS)
def test_two_literals_lie_to_each_other_as_their_types_say(
    left: str, left_type: str | None, right: str, right_type: str | None, expected: Order | None
) -> None:
    one, other = typed(left, left_type), typed(right, right_type)
    assert order(one, other) is expected
    mirrored = {BEFORE: AFTER, AFTER: BEFORE}.get(expected, expected)
    assert order(other, one) is mirrored


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (typed("a"), typed("a"), True),
        (typed("a"), typed("b"), False),
        (typed("a", "string"), typed("b", "anyURI"), False),
        (typed("true", "boolean"), typed("false", "boolean"), False),
        (typed("5", "integer"), typed("6", "integer"), False),
        (typed("5", "integer"), typed("5", "string"), None),
        (typed("P1M", "duration"), typed("P30D", "duration"), None),
        (Literal("5", None, "urn:euro"), Literal("5", None, "urn:dollar"), None),
        (Literal("a", None, "urn:euro"), Literal("b", None, "urn:dollar"), None),
        (Literal("5", None, "urn:euro"), Literal("5"), True),
    ],
)
def test_whether_two_literals_are_the_same_is_true_false_or_unknown(
    left: Literal, right: Literal, *, expected: bool | None
) -> None:
    assert same(left, right) is expected


@pytest.mark.parametrize(
    ("zone", "expected"), [(None, UNKNOWN), (UTC, SAME), (timezone(timedelta(hours=1)), BEFORE)]
)
def test_a_time_without_a_zone_is_read_where_it_is_said_to_be(
    zone: timezone | None, expected: Order | None
) -> None:
    assert order(typed("2026-01-01T00:00:00", "dateTime"), typed("2026-01-01T00:00:00Z"), zone) is expected


NUMBERS = st.decimals(-(10**9), 10**9, places=3)


@given(NUMBERS, NUMBERS)
def test_numbers_are_ordered_as_numbers_are(left: Decimal, right: Decimal) -> None:
    expected = SAME if left == right else BEFORE if left < right else AFTER
    assert order(typed(f"{left:f}", "decimal"), typed(f"{right:f}")) is expected


TEXTS = st.text(max_size=24) | st.sampled_from([row[0] for row in ORDERS])
TYPES = st.sampled_from([None, *{row[1] for row in ORDERS if row[1]}])
LITERALS = st.builds(typed, TEXTS, TYPES)


@given(LITERALS, LITERALS)
def test_no_two_texts_break_a_comparison_and_both_directions_agree(left: Literal, right: Literal) -> None:
    mirrored = {BEFORE: AFTER, AFTER: BEFORE}
    found = order(left, right)
    assert order(right, left) is mirrored.get(found, found)
    assert same(left, right) is same(right, left)


WORLD = World(
    broader={"urn:dog": frozenset({"urn:animal"}), "urn:animal": frozenset({"urn:being"})},
    wholes={"urn:bw": frozenset({"urn:de"}), "urn:de": frozenset({"urn:eu"})},
)
OPERATORS = [
    # operator, found, wanted, expected
    ("eq", ["5"], ["5.0"], True),
    ("eq", ["5"], ["6"], False),
    ("eq", ["5", "6"], ["5"], None),
    ("neq", ["5"], ["6"], True),
    ("neq", ["5"], ["5"], False),
    ("neq", [], ["5"], None),
    ("lt", ["4"], ["5"], True),
    ("lt", ["5"], ["5"], False),
    ("lt", ["a"], ["b"], None),
    ("lteq", ["5"], ["5"], True),
    ("lteq", ["6"], ["5"], False),
    ("gt", ["6"], ["5"], True),
    ("gt", ["5"], ["5"], False),
    ("gteq", ["5"], ["5"], True),
    ("gteq", ["4"], ["5"], False),
    ("gteq", [], ["5"], None),
    ("isAnyOf", ["a"], ["a", "b"], True),
    ("isAnyOf", ["c"], ["a", "b"], False),
    ("isAnyOf", ["c", "b"], ["a", "b"], True),
    ("isAllOf", ["a", "b", "c"], ["a", "b"], True),
    ("isAllOf", ["a"], ["a", "b"], False),
    ("isNoneOf", ["c"], ["a", "b"], True),
    ("isNoneOf", ["a", "c"], ["a", "b"], False),
    ("isNoneOf", [], ["a", "b"], None),
    ("isA", ["urn:dog"], ["urn:dog"], True),
    ("isA", ["urn:dog"], ["urn:being"], True),
    ("isA", ["urn:being"], ["urn:dog"], False),
    ("isA", ["urn:cat"], ["urn:animal"], None),
    ("isPartOf", ["urn:bw"], ["urn:eu"], True),
    ("isPartOf", ["urn:eu"], ["urn:bw"], False),
    ("isPartOf", ["urn:us"], ["urn:eu"], None),
    ("hasPart", ["urn:eu"], ["urn:bw"], True),
    ("hasPart", ["urn:bw"], ["urn:eu"], False),
    ("hasPart", ["urn:eu"], ["urn:bw", "urn:us"], None),
]


@pytest.mark.parametrize(("operator", "found", "wanted", "expected"), OPERATORS)
def test_every_operator_compares_what_was_found_with_what_is_wanted(
    operator: str, found: list[str], wanted: list[str], *, expected: bool | None
) -> None:
    left, right = (tuple(Literal(value) for value in values) for values in (found, wanted))
    assert compare_literals(Operator(operator), left, right, WORLD) is expected


def test_the_table_has_every_operator_of_odrl() -> None:
    assert {row[0] for row in OPERATORS} == {operator.value for operator in Operator}


@pytest.mark.parametrize("operator", list(Operator))
def test_what_was_not_found_is_unknown_to_every_operator(operator: Operator) -> None:
    assert compare_literals(operator, (), (Literal("a"),), WORLD) is None


def test_a_hierarchy_that_turns_in_a_circle_ends() -> None:
    circle = {"a": frozenset({"b"}), "b": frozenset({"a"}), "c": frozenset()}
    assert reaches("a", "b", circle) is True
    assert reaches("a", "c", circle) is False

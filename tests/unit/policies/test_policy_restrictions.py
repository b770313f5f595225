"""From a permission to limits: the tighter one holds, silence is closed."""

from collections.abc import Callable

import pytest

from policies.model import Permission
from policies.odrl import parse_policy
from policies.restrictions import (
    ComputationRestrictions,
    QueryRestrictions,
    computation_restrictions,
    query_restrictions,
    use_limit,
)

POLICY = "https://w3id.org/allmende/policy/v1#"


def own(name: str, operator: str, *values: str) -> dict:
    right = list(values) if operator == "isAnyOf" else values[0]
    return {"leftOperand": POLICY + name, "operator": operator, "rightOperand": right}


def permission(offer_with: Callable[..., dict], *constraints: dict) -> Permission:
    return parse_policy(offer_with(*constraints, action="use")).permissions[0]


def test_the_demo_offers_limits_are_these(demo_offer: dict) -> None:
    query, compute = parse_policy(demo_offer).permissions
    assert query_restrictions(query) == QueryRestrictions(None, "profile", 5, 10, 10_000)
    assert computation_restrictions(compute) == ComputationRestrictions(
        ("profile", "sector", "ts", "load_kw"),
        frozenset({"a" * 64}),
        frozenset({"metrics", "model"}),
        "auto",
    )
    assert use_limit(query) == 20


def test_silence_means_ten_rows_no_algorithm_no_output_and_a_person(offer_with: Callable[..., dict]) -> None:
    silent = permission(offer_with)
    assert query_restrictions(silent) == QueryRestrictions(None, None, 1, 10, 10_000)
    assert computation_restrictions(silent) == ComputationRestrictions(
        None, frozenset(), frozenset(), "manual"
    )
    assert use_limit(silent) is None


def test_a_unit_without_a_number_means_ten_units(offer_with: Callable[..., dict]) -> None:
    assert query_restrictions(permission(offer_with, own("groupUnit", "eq", "profile"))).minimum_units == 10


def test_a_group_size_without_a_unit_counts_rows(offer_with: Callable[..., dict]) -> None:
    limits = query_restrictions(permission(offer_with, own("minGroupSize", "gteq", "50")))
    assert (limits.group_unit, limits.minimum_units, limits.minimum_rows) == (None, 1, 50)


def test_of_two_limits_the_tighter_one_holds(offer_with: Callable[..., dict]) -> None:
    rule = permission(
        offer_with,
        own("groupUnit", "eq", "profile"),
        own("minGroupSize", "gteq", "5"),
        {"and": [own("minGroupSize", "gteq", "7"), own("maxResultRows", "lteq", "100")]},
        own("maxResultRows", "lteq", "200"),
        own("allowedColumn", "isAnyOf", "a", "b", "c"),
        own("allowedColumn", "isAnyOf", "c", "b"),
        own("outputKind", "isAnyOf", "metrics", "model"),
        own("outputKind", "eq", "metrics"),
        own("outputReview", "eq", "auto"),
        own("outputReview", "eq", "manual"),
    )
    assert query_restrictions(rule) == QueryRestrictions(("b", "c"), "profile", 7, 10, 100)
    computation = computation_restrictions(rule)
    assert computation.output_kinds == {"metrics"}
    assert computation.review == "manual"


def test_lists_without_a_common_value_leave_nothing(offer_with: Callable[..., dict]) -> None:
    rule = permission(offer_with, own("allowedColumn", "eq", "a"), own("allowedColumn", "eq", "b"))
    assert query_restrictions(rule).columns == ()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [([("lteq", "20")], 20), ([("lt", "20")], 19), ([("lt", "0")], 0), ([("lteq", "20"), ("lt", "5")], 4)],
)
def test_the_use_limit_is_the_largest_permitted_number(
    offer_with: Callable[..., dict], limits: list, expected: object
) -> None:
    constraints = [{"leftOperand": "count", "operator": o, "rightOperand": v} for o, v in limits]
    assert use_limit(permission(offer_with, *constraints)) == expected

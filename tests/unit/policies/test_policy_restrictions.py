"""From a permission to limits: the tighter one holds, silence is closed."""

from collections.abc import Callable

import pytest

from policies.dominance import DominanceRule
from policies.masks import Mask, MaskMethod, masks_of, parse_mask
from policies.model import Operator, Permission
from policies.odrl import parse_policy
from policies.restrictions import (
    ComputationRestrictions,
    QueryRestrictions,
    as_data,
    computation_restrictions,
    limits_in_words,
    permitted_names,
    query_restrictions,
    use_limit,
)
from policies.row_filters import RowFilter, RowFilterError, named_filters, read_row_filter

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


def test_columns_filters_masks_and_checks_are_read_from_the_permission(
    offer_with: Callable[..., dict],
) -> None:
    rule = permission(
        offer_with,
        own("allowedColumn", "isAnyOf", "a", "b", "c"),
        own("deniedColumn", "isAnyOf", "b"),
        own("rowFilter", "eq", "only_2016"),
        own("columnMask", "eq", "a=truncate:2"),
        own("columnMask", "eq", "c=generalise:month"),
        own("maxCellDominance", "eq", "2,90"),
        own("pPercent", "gteq", "10"),
        own("pPercent", "gteq", "15"),
        own("roundingBase", "eq", "5"),
    )
    limits = query_restrictions(rule)
    assert permitted_names(limits, ["c", "b", "a", "z"]) == ("c", "a")
    assert limits.row_filters == ("only_2016",)
    assert limits.masks == (
        Mask("a", MaskMethod.TRUNCATE, length=2),
        Mask("c", MaskMethod.GENERALISE, step="month"),
    )
    assert limits.dominance == (DominanceRule(2, 90),)
    assert (limits.p_percent, limits.rounding_base) == (15, 5)
    computation = computation_restrictions(rule)
    assert (computation.denied, computation.masks, computation.row_filters) == (
        limits.denied,
        limits.masks,
        limits.row_filters,
    )


def test_what_is_withheld_stays_withheld_where_everything_else_is_allowed(
    offer_with: Callable[..., dict],
) -> None:
    limits = query_restrictions(permission(offer_with, own("deniedColumn", "eq", "b")))
    assert permitted_names(limits, ["a", "b"]) == ("a",)


def test_two_masks_of_one_column_are_both_applied() -> None:
    masks = tuple(map(parse_mask, ["a=null", "b=hash", "a=hash", "a=truncate:3"]))
    assert [mask.method for mask in masks_of("a", masks)] == [
        MaskMethod.TRUNCATE,
        MaskMethod.HASH,
        MaskMethod.NULL,
    ]


@pytest.mark.parametrize(
    "written", ["a", "a=upper", "a=truncate", "a=truncate:0", "a=generalise", "a=hash:2", ""]
)
def test_what_is_no_mask_is_no_mask(written: str) -> None:
    with pytest.raises(ValueError, match="no mask"):
        parse_mask(written)


def test_restrictions_are_told_in_both_languages_and_as_plain_json(offer_with: Callable[..., dict]) -> None:
    limits = query_restrictions(
        permission(offer_with, own("columnMask", "eq", "a=hash"), own("maxCellDominance", "eq", "2,90"))
    )
    assert {"de": "Spalte a maskiert: hash", "en": "column a masked: hash"} in limits_in_words(limits)
    data = as_data(limits)
    assert data["masks"] == [{"column": "a", "method": "hash", "length": None, "step": None}]
    assert data["dominance"] == [{"largest": 2, "percent": 90}]


@pytest.mark.parametrize(
    "description",
    [
        {"column": "a", "operator": "eq"},
        {"column": "a", "operator": "eq", "values": [1], "sql": "1=1"},
        {"column": "a", "operator": "like", "values": ["%"]},
        {"column": "a", "operator": "isA", "values": ["x"]},
        {"column": "", "operator": "eq", "values": [1]},
        {"column": "a", "operator": "eq", "values": [1, 2]},
        {"column": "a", "operator": "isAnyOf", "values": []},
        {"column": "a", "operator": "isAnyOf", "values": [{"b": 1}]},
        {"column": "a", "operator": "eq", "values": None},
    ],
)
def test_a_malformed_row_filter_is_refused_by_name(description: dict) -> None:
    with pytest.raises(RowFilterError, match="only_2016"):
        read_row_filter("only_2016", description)


def test_a_row_filter_is_looked_up_and_never_guessed() -> None:
    filters = {"mine": read_row_filter("mine", {"column": "a", "operator": "isAnyOf", "values": ["x", "y"]})}
    assert named_filters(["mine"], filters) == (RowFilter("a", Operator.IS_ANY_OF, ("x", "y")),)
    with pytest.raises(RowFilterError, match="other"):
        named_filters(["mine", "other"], filters)

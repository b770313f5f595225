"""Which groups may be shown: large enough, and dominated by nobody."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import Check, Group, Limits, failed_checks
from policies.dominance import Contributions, DominanceRule, closely_estimated, dominated, fewest_needed
from policies.rounding import rounded_count, rounded_spread, rounded_sum

LIMITS = Limits(minimum_rows=10, minimum_units=5)
STRICT = replace(LIMITS, dominance=(DominanceRule(2, 90),), p_percent=10)


def contributions(*values: float, known: int = 2) -> Contributions:
    return Contributions(sum(values), tuple(sorted(values, reverse=True)[:known]), min(values))


@pytest.mark.parametrize(
    ("rows", "units", "shown"),
    [
        ((10,), 5, True),
        ((9,), 5, False),
        ((10,), 4, False),
        ((100, 9), 50, False),
        ((100, None), 50, False),
        ((100,), None, False),
        ((None,), 50, False),
    ],
)
def test_a_group_needs_enough_rows_and_units_for_each_figure(
    rows: tuple, units: int | None, shown: object
) -> None:
    failed = failed_checks(Group(rows, units), LIMITS)
    assert failed == (frozenset() if shown else {Check.THRESHOLD})


def test_without_a_unit_rows_decide_alone() -> None:
    assert not failed_checks(Group((10,), None), Limits(10))
    assert failed_checks(Group((9,), None), Limits(10)) == {Check.THRESHOLD}


def test_an_empty_group_is_never_shown() -> None:
    assert failed_checks(Group((0,), 0), Limits(0, 0)) == {Check.THRESHOLD}


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ([45, 45, *[1] * 10], DominanceRule(2, 90), True),
        ([45, 44, *[1] * 11], DominanceRule(2, 90), False),
        ([50, *[10] * 5], DominanceRule(1, 50), True),
        ([50, *[10] * 6], DominanceRule(1, 50), False),
        ([0, 0, 0], DominanceRule(2, 90), False),
        ([7], DominanceRule(2, 100), True),
        ([-1, *[5] * 20], DominanceRule(2, 90), True),
    ],
)
def test_the_largest_contributions_stay_below_their_share(
    values: list, rule: DominanceRule, expected: object
) -> None:
    assert dominated(contributions(*values), rule) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([100, 50, *[1] * 10], False),
        ([100, 50, *[1] * 9], True),
        ([100, 50], True),
        ([100], True),
        ([0, 0, 0], True),
        ([-1, *[5] * 20], True),
        ([5] * 20, False),
    ],
)
def test_the_second_largest_must_not_estimate_the_largest(values: list, expected: object) -> None:
    assert closely_estimated(contributions(*values), 10) is expected


def test_each_sum_of_a_group_is_judged_and_the_reason_is_named() -> None:
    fine, dominated_one = contributions(*[5.0] * 20), contributions(1000.0, *[1.0] * 20)
    assert not failed_checks(Group((20, 20), 20, (fine,)), STRICT)
    assert failed_checks(Group((20, 21), 20, (fine, dominated_one)), STRICT) == {
        Check.DOMINANCE,
        Check.P_PERCENT,
    }


def test_unknown_contributions_are_judged_as_dominated() -> None:
    failed = failed_checks(Group((20,), 20, (None,)), STRICT)
    assert failed == {Check.DOMINANCE, Check.P_PERCENT}


def test_a_count_has_no_contributions() -> None:
    assert not failed_checks(Group((20,), 20), STRICT)


def test_as_many_contributions_are_asked_for_as_the_rules_need() -> None:
    assert fewest_needed(()) == 2
    assert fewest_needed((DominanceRule(1, 50), DominanceRule(4, 95))) == 4


@pytest.mark.parametrize(
    ("count", "base", "rounded"),
    [(12, 5, 10), (13, 5, 15), (10, 5, 10), (3, 5, 5), (1, 50, 50), (125, 50, 100)],
)
def test_counts_become_multiples_and_never_nothing(count: int, base: int, rounded: int) -> None:
    assert rounded_count(count, base) == rounded


def test_a_rounded_sum_keeps_the_mean_and_hides_the_count() -> None:
    assert rounded_sum(24.68, 12, 5) / rounded_count(12, 5) == pytest.approx(2.06)
    assert rounded_spread(110.0, 12, 5) / (rounded_count(12, 5) - 1) == pytest.approx(10.0)
    assert rounded_spread(0.0, 1, 1) == 0.0


@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_a_rounded_count_is_a_multiple_within_half_a_base(count: int, base: int) -> None:
    rounded = rounded_count(count, base)
    assert rounded % base == 0
    assert abs(rounded - count) <= base / 2 or rounded == base

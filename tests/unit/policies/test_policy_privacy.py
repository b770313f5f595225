"""Noise in a policy: what it needs, what it does not go with, and where it cannot be kept."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyRefusedError
from policies.model import Policy
from policies.odrl import parse_policy
from policies.privacy import GRID_STEPS, NoiseTerms, grid_of, share, sum_sensitivity
from policies.restrictions import as_data, limits_in_words, query_restrictions
from policies.terms import Enforcement, classify, require_enforceable

POLICY = "https://w3id.org/allmende/policy/v1#"


def part(name: str, value: str, operator: str = "lteq") -> dict[str, Any]:
    return {"leftOperand": POLICY + name, "operator": operator, "rightOperand": value}


UNIT = part("groupUnit", "profile", "eq")
EACH, TOTAL = part("epsilonPerQuery", "0.5"), part("epsilonTotal", "5")


def policy(*parts: dict[str, Any]) -> Policy:
    rule = {"action": POLICY + "query", "constraint": list(parts)}
    return parse_policy({"@type": "Offer", "@id": "urn:uuid:1", "permission": [rule]}, default_target="urn:x")


def test_noise_with_all_its_parts_is_enforced() -> None:
    parts = (UNIT, EACH, TOTAL, part("deltaTotal", "0.000001"), part("contributionBound", "24"))
    require_enforceable(policy(*parts), noise=True)
    assert {use.level for use in classify(policy(*parts), noise=True)} == {Enforcement.ENFORCED}


@pytest.mark.parametrize("noisy", [EACH, TOTAL, part("deltaTotal", "0.1"), part("contributionBound", "2")])
def test_where_no_noise_can_be_drawn_it_is_refused_with_the_remedy(noisy: dict[str, Any]) -> None:
    complete = policy(UNIT, EACH, TOTAL, noisy)
    with pytest.raises(PolicyRefusedError, match=r"install allmende\[dp\]"):
        require_enforceable(complete, noise=False)
    levels = {use.term: use.level for use in classify(complete, noise=False)}
    assert levels[noisy["leftOperand"]] is Enforcement.REFUSED
    assert levels[POLICY + "groupUnit"] is Enforcement.ENFORCED
    require_enforceable(policy(UNIT), noise=False)


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ((EACH, TOTAL), "unit of counting"),
        ((UNIT, EACH), "epsilon in total"),
        ((UNIT, TOTAL), "epsilon per query"),
        ((part("contributionBound", "3"), UNIT), "epsilon per query"),
    ],
)
def test_noise_that_lacks_a_part_is_refused_with_what_is_missing(parts: Any, missing: str) -> None:
    with pytest.raises(PolicyRefusedError, match=f"Noise needs a statement of “{missing}”"):
        require_enforceable(policy(*parts), noise=True)


@pytest.mark.parametrize(
    "exact",
    [
        part("minGroupSize", "5", "gteq"),
        part("maxCellDominance", "2,90", "eq"),
        part("pPercent", "10", "gteq"),
        part("roundingBase", "5", "eq"),
    ],
)
def test_checks_of_exact_figures_do_not_go_with_noise(exact: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefusedError, match="checks exact figures"):
        require_enforceable(policy(UNIT, EACH, TOTAL, exact), noise=True)
    require_enforceable(policy(UNIT, exact), noise=True)


@pytest.mark.parametrize(
    "broken",
    [
        part("epsilonPerQuery", "0"),
        part("epsilonPerQuery", "-1"),
        part("epsilonTotal", "1e3"),
        part("epsilonTotal", "0.0000000001"),
        part("deltaTotal", "1"),
        part("contributionBound", "0"),
        part("epsilonTotal", "5", "gteq"),
    ],
)
def test_a_budget_of_another_form_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefusedError):
        require_enforceable(policy(UNIT, EACH, TOTAL, broken), noise=True)


def test_the_tighter_of_two_budgets_holds_and_is_told_in_words_and_as_data() -> None:
    tight = policy(UNIT, EACH, TOTAL, part("epsilonPerQuery", "0.25"), part("contributionBound", "7"))
    limits = query_restrictions(tight.permissions[0])
    assert limits.noise == NoiseTerms(Decimal("0.25"), Decimal(5), 7)
    words = [limit["en"] for limit in limits_in_words(limits)]
    assert "noise (differential privacy) per profile: epsilon 0.25 per new question, 5 in total" in words
    assert "at most 7 rows per profile" in words
    assert not any("different profile" in sentence for sentence in words)
    assert as_data(limits)["noise"] == {
        "epsilon_per_query": "0.25",
        "epsilon_total": "5",
        "contribution_bound": 7,
    }


def test_without_noise_nothing_changes() -> None:
    limits = query_restrictions(policy(UNIT).permissions[0])
    assert limits.noise is None
    assert limits.minimum_units == 10


@given(st.decimals("0.000000001", "999999999.999999999", places=9), st.integers(1, 100))
def test_shares_are_never_more_than_the_whole(epsilon: Decimal, figures: int) -> None:
    each = share(epsilon, figures)
    assert each * figures <= epsilon
    assert epsilon - each * figures < Decimal(figures).scaleb(-9)


@given(
    st.tuples(st.floats(-1e50, 1e50), st.floats(-1e50, 1e50))
    .map(lambda pair: (min(pair), max(pair)))
    .filter(lambda pair: pair[0] < pair[1] and max(map(abs, pair)) > 1e-50),
    st.integers(1, 1000),
)
def test_a_grid_holds_the_bounds_and_its_larger_end_is_the_sensitivity(
    bounds: tuple[float, float], rows: int
) -> None:
    grid = grid_of(bounds)
    assert max(abs(grid.lower), abs(grid.upper)) == GRID_STEPS
    assert grid.lower <= grid.upper
    assert sum_sensitivity(rows, grid) == rows * GRID_STEPS

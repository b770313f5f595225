"""Noise as OpenDP draws it: of the size that was paid for, and new each time."""

import asyncio
import statistics
from decimal import Decimal

import pytest

from policies.privacy import SensitiveFigures

pytest.importorskip("opendp", reason="the extra `dp` is not installed")

from connector.adapters.opendp_noise import OpendpNoise


def noise(*values: int, sensitivity: int = 1, epsilon: str = "1") -> tuple[int, ...]:
    source = OpendpNoise.where_installed()
    assert source is not None
    return asyncio.run(source.add(SensitiveFigures(values, sensitivity, Decimal(epsilon))))


def test_every_value_gets_noise_of_its_own_and_none_is_drawn_twice() -> None:
    first, second = noise(*[0] * 200), noise(*[0] * 200)
    assert len(first) == 200
    assert len(set(first)) > 3
    assert first != second


@pytest.mark.parametrize(("sensitivity", "epsilon"), [(1, "0.1"), (24, "0.25"), (3 * 2**20, "0.5")])
def test_the_noise_is_as_large_as_sensitivity_over_epsilon(sensitivity: int, epsilon: str) -> None:
    drawn = noise(*[1000] * 20_000, sensitivity=sensitivity, epsilon=epsilon)
    scale = sensitivity / float(epsilon)
    # The mean distance of Laplace noise is its scale; eight standard errors off is not chance.
    assert statistics.fmean(abs(value - 1000) for value in drawn) == pytest.approx(scale, rel=8 / 141)
    assert abs(statistics.fmean(drawn) - 1000) < 8 * scale / 100


@pytest.mark.parametrize(
    ("sensitivity", "epsilon"),
    [(1, "0.000000001"), (10**6 * 2**20, "0.000000001"), (1, "999999999"), (1, "0.3"), (7, "0.7")],
)
def test_every_budget_that_a_policy_can_state_can_be_spent(sensitivity: int, epsilon: str) -> None:
    assert len(noise(1, 2, 3, sensitivity=sensitivity, epsilon=epsilon)) == 3


def test_no_figures_need_no_noise() -> None:
    assert noise() == ()

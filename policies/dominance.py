"""Dominance: may a figure be released, or would it tell too much about its largest contributors?

Two rules of statistical disclosure control, judged on what a few units contribute
to a group's sum. Both are decided as the SACRO checker (`acro` 1.0) decides them,
so that a provider can compare the verdicts cell by cell.

Both rules are defined for contributions that are not negative. A group with a
negative contribution cannot be judged, so it fails every rule.

Source:
    A. Hundepool et al., Statistical Disclosure Control, 2012, section 4.2;
    https://github.com/AI-SDC/ACRO (`check_nk_dominance`, `check_ppercent_dominance`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_PERCENT: Final = 100
_INTRUDERS: Final = 2
"""The p% rule protects the largest contributor from the second largest."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """What the units of one group contribute to one sum.

    Attributes:
        total: The sum.
        largest: The largest contributions, in falling order; all of them where
            the group has fewer than were asked for.
        lowest: The smallest contribution.
    """

    total: float
    largest: tuple[float, ...]
    lowest: float


@dataclass(frozen=True, slots=True)
class DominanceRule:
    """The (n,k) rule: the `largest` largest contributions must stay below `percent` of the sum."""

    largest: int
    percent: int


def dominated(contributions: Contributions, rule: DominanceRule) -> bool:
    """Tell whether a few units make up too much of a sum.

    Args:
        contributions: What the units of a group contribute.
        rule: How many of them, and from which share on it is too much: a share
            that is exactly reached is too much. A sum of zero is no sum that
            anybody dominates.
    """
    if contributions.lowest < 0:
        return True
    if contributions.total == 0:
        return False
    share = sum(contributions.largest[: rule.largest]) / contributions.total
    return share >= rule.percent / _PERCENT


def closely_estimated(contributions: Contributions, percent: int) -> bool:
    """Tell whether the second largest contributor could estimate the largest one too closely.

    Args:
        contributions: What the units of a group contribute.
        percent: All but the two largest contributions must together reach this
            share of the largest; a group of zeros reaches nothing.
    """
    if contributions.lowest < 0:
        return True
    top = contributions.largest[0] if contributions.largest else 0.0
    rest = contributions.total - sum(contributions.largest[:_INTRUDERS])
    return (rest / top if top else rest) < percent / _PERCENT


def fewest_needed(rules: Sequence[DominanceRule]) -> int:
    """How many of the largest contributions must be known to apply every rule."""
    return max([_INTRUDERS, *(rule.largest for rule in rules)])

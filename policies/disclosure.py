"""Disclosure control: which groups of a result may be shown.

Every group of a result is judged by itself here: is it large enough, and does no
unit dominate it? What several answers tell together is the matter of
`policies.suppression`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from policies.dominance import Contributions, DominanceRule, closely_estimated, dominated


class Check(StrEnum):
    """A check that a group can fail."""

    THRESHOLD = "threshold"
    """Too few rows or too few different units."""
    DOMINANCE = "dominance"
    """A few units make up too much of a sum."""
    P_PERCENT = "p-percent"
    """The largest contribution to a sum could be estimated too closely."""
    OVERLAP = "overlap"
    """Together with what was answered before, the group would tell about a smaller one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group has to reach.

    Attributes:
        minimum_rows: Fewest rows.
        minimum_units: Fewest different units; None where only rows are counted.
        dominance: The (n,k) rules; all of them.
        p_percent: The p% rule; None where it does not apply.
    """

    minimum_rows: int
    minimum_units: int | None = None
    dominance: tuple[DominanceRule, ...] = ()
    p_percent: int | None = None

    @property
    def looks_at_contributions(self) -> bool:
        """Whether a check needs to know what single units contribute."""
        return bool(self.dominance) or self.p_percent is not None


@dataclass(frozen=True, slots=True)
class Group:
    """What is known of one group of a result.

    Attributes:
        rows: Number of rows of each figure that is shown; None where it is not known.
        units: Number of different units behind the figure with the fewest; None
            where it is not known, or not counted.
        contributions: Per sum, what units contribute to it; None where it is
            not known.
    """

    rows: tuple[int | None, ...]
    units: int | None
    contributions: tuple[Contributions | None, ...] = ()


def failed_checks(group: Group, limits: Limits) -> frozenset[Check]:
    """Tell which checks a group fails.

    Args:
        group: What is known of it. What is not known is not enough.
        limits: What it has to reach.

    Returns:
        The checks that it fails; empty where its figures may be shown.
    """
    failed = set()
    if not _large_enough(group, limits):
        failed.add(Check.THRESHOLD)
    if limits.looks_at_contributions:
        failed |= _failed_by_contributions(group.contributions, limits)
    return frozenset(failed)


def _large_enough(group: Group, limits: Limits) -> bool:
    enough_rows = all(_reaches(count, limits.minimum_rows) for count in group.rows)
    return enough_rows and (limits.minimum_units is None or _reaches(group.units, limits.minimum_units))


def _reaches(count: int | None, threshold: int) -> bool:
    return count is not None and count >= max(1, threshold)


def _failed_by_contributions(sums: Sequence[Contributions | None], limits: Limits) -> set[Check]:
    failed = set()
    for one in sums:
        if any(one is None or dominated(one, rule) for rule in limits.dominance):
            failed.add(Check.DOMINANCE)
        if limits.p_percent is not None and (one is None or closely_estimated(one, limits.p_percent)):
            failed.add(Check.P_PERCENT)
    return failed

"""Differential privacy as arithmetic: what may be asked, how far one unit moves a figure, what it costs.

Protected is the unit, such as a household, with all of its rows. Two tables are
neighbours when one has all rows of the other and those of one more unit; epsilon is
pure (there is no delta). Three things make the stated sensitivities true:

- Of every unit at most `contribution_bound` rows count, over all groups of a query.
- Every value is clamped to bounds that are stated, not measured.
- Values are rounded to a grid and added as whole numbers. Sums of fractions are not
  exact, and the noise would have to hide that as well.

Groups come from stated values, never from the data: a group that appears, or does not,
would tell something.

Source:
    C. Dwork, A. Roth, The Algorithmic Foundations of Differential Privacy, 2014, sections 3.3 and 3.5;
    S. Casacuberta et al., Widespread Underestimation of Sensitivity in Differentially
    Private Libraries and How to Fix It, 2022 (why whole numbers); docs/adr/0013-noise.md.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from policies.errors import PolicyError

PublicValue = bool | int | str
"""A value of a dimension that may be known without looking at the data."""

EPSILON_DIGITS: Final = 9
"""Epsilon is counted in billionths, so that sums are exact."""
LARGEST_BOUND: Final = 1_000_000
GRID_STEPS: Final = 2**20
"""Steps of the grid between zero and the bound that is further from it: rounding is far below the noise."""
AGGREGATES: Final = frozenset({"count", "sum", "avg"})
"""What can be answered with noise; a mean is a sum and a count."""

_SMALLEST: Final = Decimal(1).scaleb(-EPSILON_DIGITS)
_EPSILON: Final = re.compile(r"(?=[0-9.]*[1-9])[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_MEMBERS: Final = frozenset({"unit", "contribution_bound", "epsilon_total", "bounds", "values"})
_MOST_VALUES: Final = 10_000
_SMALLEST_VALUE: Final = 1e-100
"""A step of the grid must not vanish."""


class PrivacyDescriptionError(PolicyError):
    """The description of a dataset's privacy is malformed."""


@dataclass(frozen=True, slots=True)
class NoiseTerms:
    """What a permission asks of noise.

    Attributes:
        epsilon_per_query: What every new question costs.
        epsilon_total: What all questions under the agreement may cost together.
        contribution_bound: Most rows of one unit that count; None where the
            dataset's description says it alone.
    """

    epsilon_per_query: Decimal
    epsilon_total: Decimal
    contribution_bound: int | None = None


@dataclass(frozen=True, slots=True)
class PrivacyDescription:
    """What a provider states about a dataset so that noise can protect it; none of it is read from the data.

    Attributes:
        unit: Column that names whom a row is about.
        contribution_bound: Most rows of one unit that count in a query.
        epsilon_total: What all questions of all partners may cost together.
        bounds: Per measure, the lowest and the highest value that count; values
            outside are moved to the nearest.
        values: Per dimension, the values that groups may have; other rows do not
            count in queries that group by it.
    """

    unit: str
    contribution_bound: int
    epsilon_total: Decimal
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    values: Mapping[str, tuple[PublicValue, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grid:
    """The whole numbers that stand for the values of a measure.

    Attributes:
        step: Distance of two neighbouring values.
        lower: Lowest value, in steps.
        upper: Highest value, in steps.
    """

    step: float
    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class SensitiveFigures:
    """Exact figures that need noise before anybody may see them.

    Attributes:
        values: One per group.
        sensitivity: How far one unit can move all of them together: the sum of the distances.
        epsilon: What they may cost.
    """

    values: tuple[int, ...]
    sensitivity: int
    epsilon: Decimal


def grid_of(bounds: tuple[float, float]) -> Grid:
    """Give the grid for a measure's bounds.

    Args:
        bounds: Lowest and highest value that count.
    """
    lower, upper = bounds
    step = max(abs(lower), abs(upper)) / GRID_STEPS
    return Grid(step, round(lower / step), round(upper / step))


def count_sensitivity(contribution_bound: int) -> int:
    """Say how far one unit can move the numbers of rows of all groups together.

    Args:
        contribution_bound: Most rows of one unit that count, over all groups.
    """
    return contribution_bound


def sum_sensitivity(contribution_bound: int, grid: Grid) -> int:
    """Say how far one unit can move the sums of all groups together, in steps of the grid.

    Args:
        contribution_bound: Most rows of one unit that count, over all groups.
        grid: The whole numbers that are added.
    """
    return contribution_bound * max(abs(grid.lower), abs(grid.upper))


def share(epsilon: Decimal, figures: int) -> Decimal:
    """Split epsilon evenly; the shares together are never more than the whole.

    Args:
        epsilon: What a question costs.
        figures: Number of figures per group that get noise of their own.

    Returns:
        The share of each; zero where it is too little to be split.
    """
    return (epsilon / figures).quantize(_SMALLEST, rounding=ROUND_FLOOR)


def tighter_bound(terms: NoiseTerms, description: PrivacyDescription) -> int:
    """Give the number of rows of a unit that count: the smaller of what agreement and dataset say.

    Args:
        terms: What the agreement asks.
        description: What the provider states about the dataset.
    """
    stated = terms.contribution_bound
    return description.contribution_bound if stated is None else min(stated, description.contribution_bound)


def read_privacy(document: Mapping[str, object]) -> PrivacyDescription:
    """Read a description as a provider writes it.

    Args:
        document: `unit`, `contribution_bound`, `epsilon_total` (a text) and, where
            there are any, `bounds` and `values`.

    Raises:
        PrivacyDescriptionError: A member is missing, unknown or of another form.
    """
    if unknown := sorted(set(document) - _MEMBERS):
        raise PrivacyDescriptionError(
            f"The privacy of a dataset has no members {', '.join(unknown)}.",
            f"Die Angaben zu privacy haben keine Felder {', '.join(unknown)}.",
        )
    unit = document.get("unit")
    if not isinstance(unit, str) or not unit:
        raise PrivacyDescriptionError(
            "The privacy of a dataset needs the unit: the name of a column.",
            "Die Angaben zu privacy brauchen die Einheit (unit): den Namen einer Spalte.",
        )
    return PrivacyDescription(
        unit,
        _bound(document.get("contribution_bound")),
        _epsilon(document.get("epsilon_total")),
        {name: _bounds(name, one) for name, one in _named("bounds", document).items()},
        {name: _values(name, one) for name, one in _named("values", document).items()},
    )


def _bound(stated: object) -> int:
    if not isinstance(stated, int) or isinstance(stated, bool) or not 1 <= stated <= LARGEST_BOUND:
        raise PrivacyDescriptionError(
            f"The contribution_bound must be a whole number from 1 to {LARGEST_BOUND}.",
            f"Die contribution_bound muss eine ganze Zahl von 1 bis {LARGEST_BOUND} sein.",
        )
    return stated


def _epsilon(stated: object) -> Decimal:
    if not isinstance(stated, str) or not _EPSILON.fullmatch(stated):
        raise PrivacyDescriptionError(
            'The epsilon_total must be a number above zero, as a text such as "4".',
            'Das epsilon_total muss eine Zahl über null sein, als Text wie "4".',
        )
    return Decimal(stated)


def _named(member: str, document: Mapping[str, object]) -> Mapping[str, object]:
    stated = document.get(member, {})
    if not isinstance(stated, Mapping):
        raise PrivacyDescriptionError(
            f"The {member} must be an object with a member per column.",
            f"Die Angabe {member} muss ein Objekt mit einem Feld je Spalte sein.",
        )
    return stated


def _bounds(name: str, stated: object) -> tuple[float, float]:
    match stated:
        case [int() | float() as lower, int() | float() as upper]:
            pair = float(lower), float(upper)
        case _:
            raise PrivacyDescriptionError(
                f"The bounds of {name!r} must be two numbers, in brackets.",
                f"Die Grenzen (bounds) von {name!r} müssen zwei Zahlen in eckigen Klammern sein.",
            )
    if not (all(map(math.isfinite, pair)) and pair[0] < pair[1] and max(map(abs, pair)) > _SMALLEST_VALUE):
        raise PrivacyDescriptionError(
            f"The bounds of {name!r} must be the lowest, then the highest value.",
            f"Die Grenzen (bounds) von {name!r} müssen erst der kleinste, dann der größte Wert sein.",
        )
    return pair


def _values(name: str, stated: object) -> tuple[PublicValue, ...]:
    listed = list(stated) if isinstance(stated, list | tuple) else []
    values = tuple(one for one in listed if isinstance(one, bool | int | str))
    of_one_kind = len({type(value) for value in values}) == 1 and len(set(values)) == len(listed)
    if not of_one_kind or len(values) > _MOST_VALUES:
        raise PrivacyDescriptionError(
            f"The values of {name!r} must be a list of different texts, whole numbers or truth values.",
            f"Die Werte (values) von {name!r} müssen eine Liste verschiedener Texte, ganzer Zahlen oder "
            "Wahrheitswerte sein.",
        )
    return values

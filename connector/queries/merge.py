"""What the consumer computes: the sites' partial answers become one result.

Sums and counts are added, spreads are combined by Chan's update (a sum of squares
would cancel), of the sites' highest steps the highest is taken. A group that a
site withheld counts there as unknown, not as empty: the result says so per row.

Source:
    T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise
    algorithm for computing sample variances, 1979.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from connector.queries.errors import PartialsInvalidError
from connector.queries.partials import (
    ROWS,
    STATUS,
    GroupStatus,
    MeasurePartials,
    key_columns,
    measures,
    partial_columns,
)
from connector.queries.plan import Aggregate, AggregateKind, KeyOutput, QueryPlan, Sorting

SITES: Final = "sites"
RELEASED: Final = "released"
PARTLY_SUPPRESSED: Final = "partly suppressed"
SUPPRESSED: Final = "suppressed"
_FEWEST_FOR_A_SPREAD: Final = 2


@dataclass(frozen=True, slots=True)
class _Figures:
    """What is known of one measure in one group."""

    n: int
    total: float | None
    m2: float | None
    high: float | None
    low: float | None


@dataclass(slots=True)
class _Group:
    """One group while sites are merged into it."""

    key: tuple[object, ...]
    rows: int = 0
    sites: int = 0
    withheld: int = 0
    figures: dict[str, _Figures] = field(default_factory=dict)


def merge_partials(plan: QueryPlan, partials: Mapping[str, pa.Table]) -> pa.Table:
    """Merge the sites' partial answers into the result.

    Args:
        plan: What was asked of every site.
        partials: The answer of each site, by its participant's identifier, in
            the shape of `connector.queries.partials`.

    Returns:
        The plan's outputs, sorted and limited as asked, and two more columns:
        `sites` (how many sites contributed figures) and `status` (`released`,
        `partly suppressed` where at least one site withheld the group,
        `suppressed` where all that have it did). Without ORDER BY, groups stand
        in the order in which the sites named them.

    Raises:
        PartialsInvalidError: No site answered, or an answer does not fit the plan.
    """
    if not partials:
        raise PartialsInvalidError("No site answered, so there is nothing to merge.")
    groups: dict[tuple[object, ...], _Group] = {}
    for site, table in partials.items():
        _add_site(plan, groups, site, table)
    merged = _limited(plan, list(groups.values()))
    types = _key_types(plan, partials)
    columns = {output.alias: _output_column(output, merged, types) for output in plan.outputs}
    columns[SITES] = pa.array([group.sites for group in merged], pa.int64())
    columns[STATUS] = pa.array([_status(group) for group in merged], pa.string())
    return pa.table(columns)


def _add_site(plan: QueryPlan, groups: dict[tuple[object, ...], _Group], site: str, table: pa.Table) -> None:
    if tuple(table.column_names) != partial_columns(plan):
        raise PartialsInvalidError(f"The answer of {site} does not have the columns of the plan.")
    seen: set[tuple[object, ...]] = set()
    for row in _rows(table):
        key = tuple(row[name] for name in key_columns(plan))
        if key in seen:
            raise PartialsInvalidError(f"The answer of {site} holds the same group twice.")
        seen.add(key)
        group = groups.setdefault(key, _Group(key))
        if row[STATUS] == GroupStatus.SUPPRESSED:
            group.withheld += 1
        elif row[STATUS] == GroupStatus.RELEASED:
            _add_released(plan, group, site, row)
        else:
            raise PartialsInvalidError(f"The answer of {site} holds an unknown status.")


def _rows(table: pa.Table) -> Iterator[dict[str, object]]:
    names = table.column_names
    for values in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _add_released(plan: QueryPlan, group: _Group, site: str, row: Mapping[str, object]) -> None:
    rows = _count(row[ROWS], site)
    group.rows += rows
    group.sites += 1
    for measure in measures(plan):
        found = _read(measure, row, site)
        known = group.figures.get(measure.column)
        group.figures[measure.column] = found if known is None else _combined(known, found)


def _read(measure: MeasurePartials, row: Mapping[str, object], site: str) -> _Figures:
    i = measure.position
    return _Figures(
        n=_count(row[f"n_{i}"], site),
        total=_number(row[f"sum_{i}"], site) if measure.total else None,
        m2=_number(row[f"m2_{i}"], site) if measure.spread else None,
        high=_number(row[f"high_{i}"], site) if measure.high_step is not None else None,
        low=_number(row[f"low_{i}"], site) if measure.low_step is not None else None,
    )


def _count(value: object, site: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PartialsInvalidError(f"The answer of {site} releases a group without a count of rows.")
    return value


def _number(value: object, site: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise PartialsInvalidError(f"The answer of {site} releases a group without a figure.")
    return float(value)


def _combined(a: _Figures, b: _Figures) -> _Figures:
    return _Figures(
        n=a.n + b.n,
        total=_both(a.total, b.total, lambda x, y: x + y),
        m2=_combined_spread(a, b),
        high=_both(a.high, b.high, max),
        low=_both(a.low, b.low, min),
    )


def _both(a: float | None, b: float | None, join: Callable[[float, float], float]) -> float | None:
    return None if a is None or b is None else join(a, b)


def _combined_spread(a: _Figures, b: _Figures) -> float | None:
    if a.m2 is None or b.m2 is None or a.total is None or b.total is None:
        return None
    distance = b.total / b.n - a.total / a.n
    return a.m2 + b.m2 + distance * distance * a.n * b.n / (a.n + b.n)


def _status(group: _Group) -> str:
    if not group.withheld:
        return RELEASED
    return PARTLY_SUPPRESSED if group.sites else SUPPRESSED


def _limited(plan: QueryPlan, groups: list[_Group]) -> list[_Group]:
    """Sort by the last criterion first: sorting is stable. Nothing known counts as null."""
    for sorting in reversed(plan.order):
        _sort(plan, groups, sorting)
    return groups if plan.limit is None else groups[: plan.limit]


def _sort(plan: QueryPlan, groups: list[_Group], sorting: Sorting) -> None:
    output = plan.outputs[sorting.output]
    known = [group for group in groups if _value(output, group) is not None]
    unknown = [group for group in groups if _value(output, group) is None]
    known.sort(key=lambda group: _Sortable(_value(output, group)), reverse=sorting.descending)
    groups[:] = [*unknown, *known] if sorting.nulls_first else [*known, *unknown]


class _Sortable:
    """A value of one column; values of one column are of one type and so comparable."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __lt__(self, other: "_Sortable") -> bool:
        return bool(self.value < other.value)  # type: ignore[operator]  # one column, one type


def _value(output: KeyOutput | Aggregate, group: _Group) -> object:
    if isinstance(output, KeyOutput):
        return group.key[output.key]
    if not group.sites:
        return None
    if output.column is None:
        return group.rows
    return _FIGURES[output.kind](group.figures[output.column])


def _mean(figures: _Figures) -> float | None:
    return None if figures.total is None else figures.total / figures.n


def _deviation(figures: _Figures) -> float | None:
    variance = _variance(figures)
    return None if variance is None else math.sqrt(variance)


def _variance(figures: _Figures) -> float | None:
    if figures.m2 is None or figures.n < _FEWEST_FOR_A_SPREAD:
        return None
    return max(0.0, figures.m2) / (figures.n - 1)


_FIGURES: Final[Mapping[AggregateKind, Callable[[_Figures], float | None]]] = {
    AggregateKind.SUM: lambda figures: figures.total,
    AggregateKind.AVG: _mean,
    AggregateKind.VAR_SAMP: _variance,
    AggregateKind.STDDEV_SAMP: _deviation,
    AggregateKind.MAX: lambda figures: figures.high,
    AggregateKind.MIN: lambda figures: figures.low,
}


def _key_types(plan: QueryPlan, partials: Mapping[str, pa.Table]) -> Sequence[pa.DataType]:
    first = next(iter(partials.values()))
    return [first.schema.field(name).type for name in key_columns(plan)]


def _output_column(
    output: KeyOutput | Aggregate, groups: Sequence[_Group], types: Sequence[pa.DataType]
) -> "pa.Array[Any]":
    values = [_value(output, group) for group in groups]
    if isinstance(output, KeyOutput):
        try:
            return pa.array(values, types[output.key])
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise PartialsInvalidError("The sites' groups are not of the same type.") from None
    counted = output.kind is AggregateKind.COUNT
    return pa.array(values, pa.int64() if counted else pa.float64())

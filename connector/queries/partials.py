"""The shape of a site's partial answer: one row per group, columns named by position.

========== ============ ===================================================================
column     type         meaning
========== ============ ===================================================================
`key_i`    as the key   the i-th group key of the plan
`status`   string       `released` or `suppressed`
`units`    int64        different units in the group; where a measure has gaps, those with a
                        value of the measure with the fewest; null where no unit is stated
`rows`     int64        rows in the group
`n_i`      int64        rows with a value of the i-th measure
`sum_i`    double       their sum
`m2_i`     double       sum of their squared distances from their mean
`high_i`   double       highest step that the minimum number of units reached
`low_i`    double       lowest step likewise
========== ============ ===================================================================

In a suppressed group everything but the keys and the status is null. A measure
has only those columns that the plan needs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connector.queries.plan import Aggregate, AggregateKind, QueryPlan

STATUS: Final = "status"
UNITS: Final = "units"
ROWS: Final = "rows"


class GroupStatus(StrEnum):
    """What a site did with a group."""

    RELEASED = "released"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class MeasurePartials:
    """What has to be known of one measure at every site.

    Attributes:
        column: Name of the measure.
        position: Its number in the plan, from 0.
        total: Whether its sum is needed.
        spread: Whether its squared distances from the mean are needed.
        high_step: Step of its highest value, where that is needed.
        low_step: Step of its lowest value, where that is needed.
    """

    column: str
    position: int
    total: bool
    spread: bool
    high_step: float | None
    low_step: float | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns in a partial answer, in order."""
        wanted = (
            ("n", True),
            ("sum", self.total),
            ("m2", self.spread),
            ("high", self.high_step is not None),
            ("low", self.low_step is not None),
        )
        return tuple(f"{name}_{self.position}" for name, present in wanted if present)


def key_columns(plan: QueryPlan) -> tuple[str, ...]:
    """Name the key columns of a partial answer, in order."""
    return tuple(f"key_{position}" for position in range(len(plan.keys)))


def measures(plan: QueryPlan) -> tuple[MeasurePartials, ...]:
    """Find what has to be known of each measure, in the order of first use."""
    names = dict.fromkeys(aggregate.column for aggregate in plan.aggregates if aggregate.column is not None)
    return tuple(
        _measure(name, position, [aggregate for aggregate in plan.aggregates if aggregate.column == name])
        for position, name in enumerate(names)
    )


def _measure(column: str, position: int, aggregates: list[Aggregate]) -> MeasurePartials:
    kinds = {aggregate.kind: aggregate.step for aggregate in aggregates}
    spread = bool({AggregateKind.VAR_SAMP, AggregateKind.STDDEV_SAMP} & set(kinds))
    return MeasurePartials(
        column=column,
        position=position,
        total=spread or bool({AggregateKind.SUM, AggregateKind.AVG} & set(kinds)),
        spread=spread,
        high_step=kinds.get(AggregateKind.MAX),
        low_step=kinds.get(AggregateKind.MIN),
    )


def partial_columns(plan: QueryPlan) -> tuple[str, ...]:
    """Name all columns of a partial answer to the plan, in order."""
    figures = tuple(name for measure in measures(plan) for name in measure.columns)
    return (*key_columns(plan), STATUS, UNITS, ROWS, *figures)

"""A governed query as frozen values: what is left of a client's SQL once it is understood.

The client's text ends at the gate. Everything after it, at the sites and at the
consumer, works on these values alone.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

Literal = bool | int | float | str | date | datetime
"""A fixed value of a condition; points in time are in UTC."""


class KeyKind(StrEnum):
    """What of a column a query may group and filter by. Parts of a time are taken in UTC."""

    VALUE = "value"
    """The value of a dimension; in a filter, also the point in time of a time column."""
    HOUR = "hour"
    """Hour of day, 0 to 23."""
    DAY_OF_WEEK = "dayofweek"
    """Day of the week, 0 (Sunday) to 6."""
    MONTH = "month"
    """Month of the year, 1 to 12."""
    YEAR = "year"
    DAY_START = "date_trunc day"
    """The calendar day, as a date."""
    MONTH_START = "date_trunc month"
    """The calendar month, as the date of its first day."""


@dataclass(frozen=True, slots=True)
class KeyExpression:
    """A dimension, or a part of a time column."""

    kind: KeyKind
    column: str


class AggregateKind(StrEnum):
    """Which figure is computed over a group."""

    COUNT = "count"
    """Number of rows."""
    SUM = "sum"
    AVG = "avg"
    VAR_SAMP = "var_samp"
    """Sample variance."""
    STDDEV_SAMP = "stddev_samp"
    """Sample standard deviation."""
    MAX = "max"
    """The highest step that at least the minimum number of different units reached at one site."""
    MIN = "min"
    """The lowest step that at least the minimum number of different units reached at one site."""


@dataclass(frozen=True, slots=True)
class KeyOutput:
    """An output column that shows a group key: the `key`-th of the plan, from 0."""

    alias: str
    key: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An output column that shows a figure per group.

    Attributes:
        alias: Name in the result.
        kind: Which figure.
        column: Of which measure; None for the number of rows.
        step: Step to which an extreme is rounded; None for every other kind.
    """

    alias: str
    kind: AggregateKind
    column: str | None = None
    step: float | None = None


class ComparisonOperator(StrEnum):
    """How a value is compared."""

    EQ = "="
    NEQ = "<>"
    LT = "<"
    LTEQ = "<="
    GT = ">"
    GTEQ = ">="


@dataclass(frozen=True, slots=True)
class Comparison:
    """A dimension or a part of a time, compared with a fixed value."""

    operand: KeyExpression
    operator: ComparisonOperator
    value: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """A dimension or a part of a time is one of several fixed values."""

    operand: KeyExpression
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The condition does not hold."""

    operand: "Condition"


class Connective(StrEnum):
    """How conditions are joined."""

    AND = "AND"
    OR = "OR"


@dataclass(frozen=True, slots=True)
class Junction:
    """Two or more conditions, joined."""

    connective: Connective
    operands: tuple["Condition", ...]


Condition = Comparison | Membership | Negation | Junction


@dataclass(frozen=True, slots=True)
class Sorting:
    """One sort criterion of the merged result: the `output`-th column, from 0."""

    output: int
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """What a governed query asks for.

    Attributes:
        table: Name of the federated table.
        keys: What rows are grouped by; empty for one group of all rows.
        outputs: Columns of the result, in order.
        condition: Which rows take part; None for all.
        order: How the merged result is sorted.
        limit: Most rows in the merged result; never applied at a site, where it
            would change what other sites' groups merge with.
    """

    table: str
    keys: tuple[KeyExpression, ...]
    outputs: tuple[KeyOutput | Aggregate, ...]
    condition: Condition | None = None
    order: tuple[Sorting, ...] = ()
    limit: int | None = None

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The figures among the outputs, in order."""
        return tuple(output for output in self.outputs if isinstance(output, Aggregate))

    @property
    def used_columns(self) -> frozenset[str]:
        """Every column that the query groups, filters or computes by."""
        figures = {aggregate.column for aggregate in self.aggregates if aggregate.column is not None}
        return frozenset({key.column for key in self.keys} | figures | condition_columns(self.condition))


def condition_columns(condition: Condition | None) -> set[str]:
    """Name the columns that a condition compares."""
    match condition:
        case None:
            return set()
        case Negation(operand):
            return condition_columns(operand)
        case Junction(_, operands):
            return set().union(*(condition_columns(operand) for operand in operands))
        case Comparison() | Membership():
            return {condition.operand.column}

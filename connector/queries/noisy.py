"""A query that is answered with noise: what may be asked, our own statement for it, and its partial answer.

Questions are brought into one form first, so that the same question in other words is
the same question: it gets the same answer, and costs nothing again.

The statement of a site computes what noise can protect: of every unit at most the
contribution bound of rows, chosen by a hash of what is asked about them, and their
values as whole numbers within the stated bounds. Every group that could be there gets
figures, also where no row is in it.

Everything after the noise is arithmetic on noisy figures and costs nothing. A group of
which a noisy count is below the agreement's minimum of rows is withheld: little but
noise is left of it.
"""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from catalog.model import Column, ColumnRole
from connector.queries.errors import PartialsInvalidError, refusal
from connector.queries.partials import ROWS, STATUS, UNITS, GroupStatus, key_columns, measures
from connector.queries.plan import (
    Aggregate,
    AggregateKind,
    Comparison,
    ComparisonOperator,
    Condition,
    Connective,
    Junction,
    KeyExpression,
    KeyKind,
    Membership,
    Negation,
    QueryPlan,
)
from connector.queries.writing import condition_sql, identifier, key_sql, select
from policies.masks import masks_of
from policies.privacy import (
    AGGREGATES,
    Grid,
    PrivacyDescription,
    PrivacyDescriptionError,
    PublicValue,
    SensitiveFigures,
    count_sensitivity,
    grid_of,
    share,
    sum_sensitivity,
    tighter_bound,
)
from policies.restrictions import QueryRestrictions, permitted_names
from schemas.strict_json import JsonObject

Figures = Mapping[str, tuple[int, ...]]
"""Figures by their column, each with one value per group of the question."""

_PARTS: Final[Mapping[KeyKind, tuple[PublicValue, ...]]] = {
    KeyKind.HOUR: tuple(range(24)),
    KeyKind.DAY_OF_WEEK: tuple(range(7)),
    KeyKind.MONTH: tuple(range(1, 13)),
}
"""Parts of a time whose values everybody knows."""

_STATUS: Final = {True: GroupStatus.RELEASED, False: GroupStatus.SUPPRESSED}


@dataclass(frozen=True, slots=True)
class NoisyQuestion:
    """What is asked, in the one form that all its wordings share, and what protects the answer.

    Attributes:
        plan: Keys and sums in the order of their columns' names, without names
            of outputs, order and limit.
        groups: Keys of all groups that could be there.
        grids: Per measure of the plan, its whole numbers.
        unit: Column that names whom a row is about.
        bound: Most rows of one unit that count.
        minimum_rows: Fewest noisy rows of a group that is shown.
        epsilon: What the question costs.
    """

    plan: QueryPlan
    groups: tuple[tuple[PublicValue, ...], ...]
    grids: tuple[Grid, ...]
    unit: str
    bound: int
    minimum_rows: int
    epsilon: Decimal

    @property
    def as_data(self) -> JsonObject:
        """The question as plain values: equal for equal questions only."""
        return {
            "keys": [[key.kind.value, key.column] for key in self.plan.keys],
            "figures": [[one.kind.value, one.column] for one in self.plan.aggregates],
            "condition": repr(self.plan.condition),
            "groups": [list(group) for group in self.groups],
            "grids": [repr(asdict(grid)) for grid in self.grids],
            "unit": self.unit,
            "bound": self.bound,
            "minimumRows": self.minimum_rows,
            "epsilon": str(self.epsilon.normalize()),
        }


def require_described(description: PrivacyDescription, columns: Sequence[Column]) -> None:
    """Make sure that what is said about a dataset's privacy is about its columns.

    Args:
        description: What is said.
        columns: The dataset's columns.

    Raises:
        PrivacyDescriptionError: A column does not exist, or is for something else.
    """
    described = {(column.name, column.role): column.data_type for column in columns}
    stated: Sequence[tuple[ColumnRole, Collection[str]]] = (
        (ColumnRole.UNIT, [description.unit]),
        (ColumnRole.MEASURE, description.bounds),
        (ColumnRole.DIMENSION, description.values),
    )
    for role, names in stated:
        if unknown := sorted(name for name in names if (name, role) not in described):
            raise PrivacyDescriptionError(
                "The privacy of the dataset names columns that are not described as "
                f"{role.value}: {', '.join(unknown)}.",
                "Die Angaben zu privacy nennen Spalten, die nicht als "
                f"{role.value} beschrieben sind: {', '.join(unknown)}.",
            )
    for name, values in description.values.items():
        data_type = described[name, ColumnRole.DIMENSION]
        if not _TYPES[type(values[0])].match(data_type):
            raise PrivacyDescriptionError(
                f"The values of {name!r} are none of a column of type {data_type}.",
                f"Die Werte (values) von {name!r} passen nicht zu einer Spalte vom Typ {data_type}.",
            )


_TYPES: Final[Mapping[type, re.Pattern[str]]] = {
    bool: re.compile(r"bool"),
    int: re.compile(r"u?int"),
    str: re.compile(r"(large_)?string|dictionary<values=(large_)?string"),
}
"""How the type of a column begins whose values are texts, whole numbers or truth values."""


def noisy_question(
    plan: QueryPlan,
    restrictions: QueryRestrictions,
    description: PrivacyDescription | None,
    columns: Sequence[Column],
) -> NoisyQuestion:
    """Say what a plan asks where the agreement wants noise, or refuse it with the reason.

    Args:
        plan: What is asked.
        restrictions: What the agreement asks; with noise.
        description: What the provider states about the dataset; None where it states nothing.
        columns: The dataset's columns.

    Raises:
        QueryRefusedError: A figure, a group or a measure cannot be protected by noise.
    """
    terms = restrictions.noise
    if terms is None or description is None or restrictions.group_unit != description.unit:
        raise refusal("noise-not-described")
    _require_columns(plan, restrictions, description, columns)
    canonical = _canonical(plan)
    if share(terms.epsilon_per_query, len(_figures(canonical))) <= 0:
        raise refusal("noise-too-little-epsilon")
    return NoisyQuestion(
        plan=canonical,
        groups=_groups(canonical, restrictions, description),
        grids=tuple(_grid(measure.column, description) for measure in measures(canonical)),
        unit=description.unit,
        bound=tighter_bound(terms, description),
        minimum_rows=max(1, restrictions.minimum_rows),
        epsilon=terms.epsilon_per_query,
    )


def _require_columns(
    plan: QueryPlan,
    restrictions: QueryRestrictions,
    description: PrivacyDescription,
    columns: Sequence[Column],
) -> None:
    known = [column.name for column in columns]
    if description.unit not in known:
        raise refusal("group-unit-missing")
    if not plan.used_columns <= set(permitted_names(restrictions, known)):
        raise refusal("unknown-column")
    if any(one.kind.value not in AGGREGATES for one in plan.aggregates):
        raise refusal("noise-aggregate")


def _canonical(plan: QueryPlan) -> QueryPlan:
    keys = tuple(sorted(plan.keys, key=lambda key: (key.column, key.kind)))
    columns = sorted({one.column for one in plan.aggregates if one.column is not None})
    sums = [Aggregate(name, AggregateKind.SUM, name) for name in columns]
    counted = not sums or any(one.kind is AggregateKind.COUNT for one in plan.aggregates)
    count = [Aggregate(ROWS, AggregateKind.COUNT)] if counted else []
    condition = None if plan.condition is None else _sorted_condition(plan.condition)
    return QueryPlan(plan.table, keys, (*count, *sums), condition)


def _sorted_condition(condition: Condition) -> Condition:
    match condition:
        case Junction(connective, operands):
            return Junction(connective, tuple(sorted({*map(_sorted_condition, operands)}, key=repr)))
        case Membership(operand, values):
            return Membership(operand, tuple(sorted(set(values), key=repr)))
        case Negation(operand):
            return Negation(_sorted_condition(operand))
        case Comparison():
            return condition


def _grid(column: str, description: PrivacyDescription) -> Grid:
    if column not in description.bounds:
        raise refusal("noise-bounds")
    return grid_of(description.bounds[column])


def _groups(
    plan: QueryPlan, restrictions: QueryRestrictions, description: PrivacyDescription
) -> tuple[tuple[PublicValue, ...], ...]:
    values = [_public_values(key, restrictions, description) for key in plan.keys]
    most, combinations = restrictions.maximum_result_rows, 1
    for one in values:
        combinations *= len(one)
    if combinations > most:
        raise refusal("too-many-groups")
    groups = tuple(
        group
        for group in itertools.product(*values)
        if _possible(plan.condition, dict(zip(plan.keys, group, strict=True))) is not False
    )
    if not groups:
        raise refusal("noise-values")
    return groups


def _public_values(
    key: KeyExpression, restrictions: QueryRestrictions, description: PrivacyDescription
) -> tuple[PublicValue, ...]:
    """Give the values of a key that everybody may know; a mask changes them, so then there are none."""
    stated = description.values.get(key.column, ()) if key.kind is KeyKind.VALUE else _PARTS.get(key.kind, ())
    if not stated or masks_of(key.column, restrictions.masks):
        raise refusal("noise-values")
    return stated


def _possible(condition: Condition | None, group: Mapping[KeyExpression, PublicValue]) -> bool | None:
    """Tell whether rows of a group can satisfy a condition; None where its key alone does not say."""
    match condition:
        case Comparison(operand, ComparisonOperator.EQ, value) if operand in group:
            return group[operand] == value
        case Membership(operand, values) if operand in group:
            return group[operand] in values
        case Junction(Connective.AND, operands):
            found = [_possible(one, group) for one in operands]
            return False if False in found else None
        case Junction(Connective.OR, operands):
            found = [_possible(one, group) for one in operands]
            return False if set(found) == {False} else None
        case _:
            return None


def bounded_statement(question: NoisyQuestion) -> str:
    """Write the DuckDB statement that computes what noise can protect.

    Args:
        question: What is asked.

    Returns:
        One SELECT over the plan's table: a row per group that has rows, with
        `key_i`, `rows` and, per measure, `n_i` and `sum_i` in steps of its grid.
        All rows of one unit change `rows` and each `n_i` by at most the bound, and
        each `sum_i` by at most the bound times the grid's larger end, over all
        groups together.
    """
    keys = key_columns(question.plan)
    values = [f"value_{position}" for position in range(len(question.grids))]
    asked = ", ".join((*keys, *values)) or "unit"
    # Who is chosen depends on nothing but a unit's own rows; rows that the order leaves equal are alike.
    turn = f"row_number() OVER (PARTITION BY unit ORDER BY hash({asked}), {asked}) AS turn"
    figures = ["count(*) AS rows"]
    for position in range(len(question.grids)):
        figures.append(f"count(value_{position}) AS n_{position}")
        figures.append(f"CAST(coalesce(sum(value_{position}), 0) AS BIGINT) AS sum_{position}")
    grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
    stages = [
        f"permitted AS ({_permitted(question)})",
        f"placed AS ({select(['*', turn], 'permitted')})",
    ]
    final = select([*keys, *figures], "placed", f" WHERE turn <= {question.bound}{grouping}")
    return f"WITH {', '.join(stages)} {final}"


def _permitted(question: NoisyQuestion) -> str:
    """Select the rows that take part; a row outside the public groups does not use up its unit's bound."""
    plan = question.plan
    outputs = [f"{key_sql(key)} AS key_{index}" for index, key in enumerate(plan.keys)]
    outputs.append(f"{identifier(question.unit)} AS unit")
    for measure, grid in zip(measures(plan), question.grids, strict=True):
        outputs.append(f"{_on_grid(measure.column, grid)} AS value_{measure.position}")
    conditions = [f"{identifier(question.unit)} IS NOT NULL"]
    if plan.condition is not None:
        conditions.append(condition_sql(plan.condition))
    for index, key in enumerate(plan.keys):
        values = tuple(dict.fromkeys(group[index] for group in question.groups))
        conditions.append(condition_sql(Membership(key, values)) if values else "false")
    where = " AND ".join(f"({condition})" for condition in conditions)
    return select(outputs, identifier(plan.table), f" WHERE {where}")


def _on_grid(column: str, grid: Grid) -> str:
    """Write a measure's value as a whole number of steps; what is no number takes no part."""
    value = f"CAST({identifier(column)} AS DOUBLE)"
    steps = f"({value} / CAST('{grid.step!r}' AS DOUBLE))"
    # Clamped before it becomes a whole number: one too large would be an error, which tells of it.
    clamped = f"greatest({grid.lower}.0, least({grid.upper}.0, round({steps})))"
    return f"CASE WHEN isfinite({value}) THEN CAST({clamped} AS BIGINT) END"


def exact_figures(question: NoisyQuestion, answer: pa.Table) -> Mapping[str, SensitiveFigures]:
    """Take the exact figures of all groups from the engine's answer, with what noise has to hide.

    Args:
        question: What was asked.
        answer: What the engine answered to `bounded_statement`.

    Returns:
        Per figure its values, one per group of the question, zero where a group has no rows.

    Raises:
        PartialsInvalidError: The columns are not those of the statement.
    """
    keys, figures = key_columns(question.plan), _figures(question.plan)
    if not {*keys, ROWS, *figures} <= set(answer.column_names):
        raise PartialsInvalidError("The engine's answer does not have the columns of the question.")
    found = {tuple(row[name] for name in keys): row for row in answer.to_pylist()}
    if not set(found) <= set(question.groups):
        raise PartialsInvalidError("The engine's answer has a group that nobody asked for.")
    epsilon = share(question.epsilon, len(figures))
    return {
        name: SensitiveFigures(
            tuple(int(found[group][name]) if group in found else 0 for group in question.groups),
            _sensitivity(question, name),
            epsilon,
        )
        for name in figures
    }


def _figures(plan: QueryPlan) -> tuple[str, ...]:
    """Name the figures that get noise of their own. Of each measure the number of values is needed, too."""
    counted = [ROWS] if any(one.kind is AggregateKind.COUNT for one in plan.aggregates) else []
    positions = range(len(measures(plan)))
    return (*counted, *(f"{name}_{position}" for position in positions for name in ("n", "sum")))


def _sensitivity(question: NoisyQuestion, figure: str) -> int:
    name, _, position = figure.partition("_")
    if name == "sum":
        return sum_sensitivity(question.bound, question.grids[int(position)])
    return count_sensitivity(question.bound)


def noisy_partials(plan: QueryPlan, question: NoisyQuestion, figures: Figures) -> pa.Table:
    """Make a site's partial answer of noisy figures.

    Args:
        plan: What was asked, in the words in which it was asked.
        question: The same, in one form.
        figures: The noisy figures.

    Returns:
        A table in the shape of `connector.queries.partials`, with every group of the
        question. Different units are not counted: that would need noise of its own.

    Raises:
        PartialsInvalidError: The figures are not those of the question.
    """
    wanted = _figures(question.plan)
    if set(figures) != set(wanted) or any(len(one) != len(question.groups) for one in figures.values()):
        raise PartialsInvalidError("The noisy figures are not those of the question.")
    counts = [figures[name] for name in wanted if not name.startswith("sum_")]
    shown = [min(each) >= question.minimum_rows for each in zip(*counts, strict=True)]
    columns: dict[str, pa.Array[Any]] = {}
    for index, key in enumerate(plan.keys):
        place = question.plan.keys.index(key)
        columns[f"key_{index}"] = pa.array([group[place] for group in question.groups])
    columns[STATUS] = pa.array([_STATUS[fit].value for fit in shown], pa.string())
    columns[UNITS] = pa.nulls(len(shown), pa.int64())
    # Where the rows themselves were not asked for, the values of the first measure stand for them.
    columns[ROWS] = _column(figures.get(ROWS, counts[0]), shown)
    places = {measure.column: measure.position for measure in measures(question.plan)}
    for measure in measures(plan):
        place = places[measure.column]
        columns[f"n_{measure.position}"] = _column(figures[f"n_{place}"], shown)
        if measure.total:
            sums = [total * question.grids[place].step for total in figures[f"sum_{place}"]]
            columns[f"sum_{measure.position}"] = _column(sums, shown)
    return pa.table(columns)


def _column(values: Sequence[int] | Sequence[float], shown: Sequence[bool]) -> "pa.Array[Any]":
    kept = [value if fit else None for value, fit in zip(values, shown, strict=True)]
    return pa.array(kept, pa.float64() if any(isinstance(one, float) for one in values) else pa.int64())

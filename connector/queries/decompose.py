"""What one site computes: the plan and the agreement's restrictions become the site's own SQL.

The statement is written here from the plan's values alone. It aggregates twice,
first per group and unit and then per group, so that it knows how many different
units stand behind every figure, and it withholds small groups itself:
`withhold` then looks again.

**Extremes.** An exact highest value is one row's, so it never leaves. `max` gives
the highest step that at least `minimum_units` different units reached: each
unit's own maximum is taken, of these the `minimum_units`-th largest, rounded down
to the column's `step`. `min` is the mirror image, rounded up. Where no group unit
is stated, rows take the units' place: the `minimum_rows`-th largest value.

**Gaps.** A figure is protected by the rows that made it: a group is withheld when
any measure asked of it has values from too few units or rows. Values that are
null, infinite or not a number take no part; rows that name no unit take part in
nothing. Measures are computed in double precision.

Limitations: thresholds do not stop differencing (two permitted queries whose groups
differ by one unit) nor groups that one unit dominates.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from catalog.model import Column
from connector.queries.errors import PartialsInvalidError, refusal
from connector.queries.partials import (
    ROWS,
    STATUS,
    UNITS,
    GroupStatus,
    MeasurePartials,
    key_columns,
    measures,
    partial_columns,
)
from connector.queries.plan import (
    Comparison,
    Condition,
    Junction,
    KeyExpression,
    KeyKind,
    Literal,
    Membership,
    Negation,
    QueryPlan,
)
from policies.restrictions import QueryRestrictions

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SMALLEST_PROTECTED: Final = 2
_LARGEST_RANK: Final = 100_000
_UTC: Final = "make_timestamp(epoch_us({column}))"
"""A time in UTC whatever the session's zone, and four times faster than the zone's own functions."""
_KEY_TEMPLATES: Final = {
    KeyKind.VALUE: "{column}",
    KeyKind.HOUR: f"hour({_UTC})",
    KeyKind.DAY_OF_WEEK: f"dayofweek({_UTC})",
    KeyKind.MONTH: f"month({_UTC})",
    KeyKind.YEAR: f"year({_UTC})",
    KeyKind.DAY_START: f"CAST({_UTC} AS DATE)",
    KeyKind.MONTH_START: f"CAST(date_trunc('month', {_UTC}) AS DATE)",
}


def site_statement(plan: QueryPlan, restrictions: QueryRestrictions, columns: Sequence[Column]) -> str:
    """Write the DuckDB statement that one site runs.

    Args:
        plan: What is asked.
        restrictions: What the agreement leaves of the table.
        columns: The table's columns at this site.

    Returns:
        One SELECT over `plan.table` whose result has the columns of
        `connector.queries.partials.partial_columns`, sorted by key, with at most
        one row more than the agreement allows, so that an excess shows.

    Raises:
        QueryRefusedError: The plan uses a column that the agreement withholds or
            the site lacks, the group unit is missing, or extremes would be
            unprotected.
    """
    _check(plan, restrictions, columns)
    unit = restrictions.group_unit
    stages = [f"permitted AS ({_permitted(plan, unit)})"]
    if unit is None:
        stages.append(f"grouped AS ({_grouped_rows(plan, restrictions.minimum_rows)})")
    else:
        stages.append(f"per_unit AS ({_per_unit(plan)})")
        stages.append(f"centred AS ({_centred(plan)})")
        stages.append(f"grouped AS ({_grouped_units(plan, restrictions.minimum_units)})")
    stages.append(f"judged AS ({_select(['*', f'{_verdict(plan, restrictions)} AS fit'], 'grouped')})")
    return f"WITH {', '.join(stages)} {_released(plan, restrictions)}"


def withhold(plan: QueryPlan, restrictions: QueryRestrictions, partials: pa.Table) -> pa.Table:
    """Look at a site's answer again before it leaves: withhold what is too small.

    Args:
        plan: What was asked.
        restrictions: The thresholds.
        partials: What the engine answered.

    Returns:
        The same groups; every one below a threshold holds nothing but its keys
        and `suppressed`.

    Raises:
        QueryRefusedError: More groups than the agreement allows.
        PartialsInvalidError: The columns are not those of the plan.
    """
    if tuple(partials.column_names) != partial_columns(plan):
        raise PartialsInvalidError("The engine's answer does not have the columns of the plan.")
    if partials.num_rows > restrictions.maximum_result_rows:
        raise refusal("too-many-groups")
    fit = [_is_fit(plan, restrictions, row) for row in partials.to_pylist()]
    public = {*key_columns(plan), STATUS}
    columns = {
        name: partials.column(name) if name in public else _kept(partials.column(name), fit)
        for name in partials.column_names
    }
    statuses = [GroupStatus.RELEASED if released else GroupStatus.SUPPRESSED for released in fit]
    columns[STATUS] = pa.chunked_array([pa.array([status.value for status in statuses], pa.string())])
    return pa.table(columns)


def _kept(column: "pa.ChunkedArray[Any]", fit: Sequence[bool]) -> "pa.ChunkedArray[Any]":
    values = [value if released else None for value, released in zip(column.to_pylist(), fit, strict=True)]
    return pa.chunked_array([pa.array(values, column.type)])


def _is_fit(plan: QueryPlan, restrictions: QueryRestrictions, row: Mapping[str, Any]) -> bool:
    counts = [row[ROWS], *(row[f"n_{measure.position}"] for measure in measures(plan))]
    enough = all(_reaches(count, restrictions.minimum_rows) for count in counts)
    if restrictions.group_unit is not None:
        enough = enough and _reaches(row[UNITS], restrictions.minimum_units)
    return enough and row[STATUS] == GroupStatus.RELEASED.value


def _reaches(count: int | None, threshold: int) -> bool:
    return count is not None and count >= max(1, threshold)


def _check(plan: QueryPlan, restrictions: QueryRestrictions, columns: Sequence[Column]) -> None:
    known = {column.name for column in columns}
    if restrictions.group_unit is not None and restrictions.group_unit not in known:
        raise refusal("group-unit-missing")
    permitted = known if restrictions.columns is None else known & set(restrictions.columns)
    used = {key.column for key in plan.keys} | {measure.column for measure in measures(plan)}
    if not used | _condition_columns(plan.condition) <= permitted:
        raise refusal("unknown-column")
    extremes = any(measure.high_step or measure.low_step for measure in measures(plan))
    rank = restrictions.minimum_rows if restrictions.group_unit is None else restrictions.minimum_units
    if extremes and not _SMALLEST_PROTECTED <= rank <= _LARGEST_RANK:
        raise refusal("extreme-unprotected")


def _condition_columns(condition: Condition | None) -> set[str]:
    match condition:
        case None:
            return set()
        case Negation(operand):
            return _condition_columns(operand)
        case Junction(_, operands):
            return set().union(*(_condition_columns(operand) for operand in operands))
        case Comparison() | Membership():
            return {condition.operand.column}


def _permitted(plan: QueryPlan, unit: str | None) -> str:
    """Select keys, unit and usable values of the rows that take part."""
    outputs = [f"{_key_sql(key)} AS key_{index}" for index, key in enumerate(plan.keys)]
    conditions = [] if plan.condition is None else [_condition_sql(plan.condition)]
    if unit is not None:
        outputs.append(f"{_identifier(unit)} AS unit")
        conditions.append(f"{_identifier(unit)} IS NOT NULL")
    for measure in measures(plan):
        value = f"CAST({_identifier(measure.column)} AS DOUBLE)"
        outputs.append(f"CASE WHEN isfinite({value}) THEN {value} END AS value_{measure.position}")
    where = f" WHERE {' AND '.join(f'({condition})' for condition in conditions)}" if conditions else ""
    return _select(outputs or ["1 AS one"], _identifier(plan.table), where)


def _first_stage(measure: MeasurePartials) -> list[str]:
    value, position = f"value_{measure.position}", measure.position
    figures = [f"count({value}) AS n_{position}"]
    if measure.total:
        figures.append(f"sum({value}) AS sum_{position}")
    if measure.spread:
        figures.append(f"var_pop({value}) * count({value}) AS m2_{position}")
    return figures


def _per_unit(plan: QueryPlan) -> str:
    figures = ["count(*) AS unit_rows"]
    for measure in measures(plan):
        figures += _first_stage(measure)
        if measure.high_step is not None:
            figures.append(f"max(value_{measure.position}) AS high_{measure.position}")
        if measure.low_step is not None:
            figures.append(f"min(value_{measure.position}) AS low_{measure.position}")
    grouping = [*key_columns(plan), "unit"]
    return _select([*grouping, *figures], "permitted", f" GROUP BY {', '.join(grouping)}")


def _centred(plan: QueryPlan) -> str:
    """Give every unit its group's mean, from which the squared distances are summed without cancellation."""
    spread = [measure.position for measure in measures(plan) if measure.spread]
    if not spread:
        return "SELECT * FROM per_unit"
    means = [f"sum(sum_{i}) OVER same / sum(n_{i}) OVER same AS mean_{i}" for i in spread]
    partition = f"PARTITION BY {', '.join(key_columns(plan))}" if plan.keys else ""
    return _select(["*", *means], "per_unit", f" WINDOW same AS ({partition})")


def _grouped_units(plan: QueryPlan, rank: int) -> str:
    figures = ["count(*) AS units", "sum(unit_rows) AS rows"]
    for measure in measures(plan):
        position = measure.position
        figures.append(f"count(*) FILTER (WHERE n_{position} > 0) AS units_{position}")
        figures.append(f"sum(n_{position}) AS n_{position}")
        if measure.total:
            figures.append(f"sum(sum_{position}) AS sum_{position}")
        if measure.spread:
            between = f"n_{position} * power(sum_{position} / n_{position} - mean_{position}, 2)"
            figures.append(f"sum(m2_{position}) + sum({between}) AS m2_{position}")
        figures += _extremes(measure, rank, high=f"high_{position}", low=f"low_{position}")
    return _grouped(plan, figures, "centred")


def _grouped_rows(plan: QueryPlan, rank: int) -> str:
    figures = ["CAST(NULL AS BIGINT) AS units", "count(*) AS rows"]
    for measure in measures(plan):
        value = f"value_{measure.position}"
        figures += [*_first_stage(measure), *_extremes(measure, rank, high=value, low=value)]
    return _grouped(plan, figures, "permitted")


def _grouped(plan: QueryPlan, figures: Sequence[str], source: str) -> str:
    keys = key_columns(plan)
    grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
    return _select([*keys, *figures], source, grouping)


def _extremes(measure: MeasurePartials, rank: int, *, high: str, low: str) -> list[str]:
    position, figures = measure.position, []
    if measure.high_step is not None:
        figures.append(f"{_step(f'max({high}, {rank})[{rank}]', measure.high_step)} AS high_{position}")
    if measure.low_step is not None:
        figures.append(f"{_step(f'min({low}, {rank})[{rank}]', measure.low_step, up=True)} AS low_{position}")
    return figures


def _step(value: str, step: float, *, up: bool = False) -> str:
    """Round down (or up) to a step.

    The billionth of a step keeps 3 · 0.05 on its own step, which division would put just below.
    """
    exact = Decimal(str(step))
    digits = max(0, -int(exact.as_tuple().exponent))
    size = f"CAST({exact:f} AS DOUBLE)"
    whole = f"ceil({value} / {size} - 1e-9)" if up else f"floor({value} / {size} + 1e-9)"
    # Adding zero turns -0.0, which would tell the sign of a value below one step, into 0.0.
    return f"round({whole} * {size}, {digits}) + 0.0"


def _verdict(plan: QueryPlan, restrictions: QueryRestrictions) -> str:
    found = measures(plan)
    rows = ", ".join(["rows", *(f"n_{measure.position}" for measure in found)])
    conditions = [f"least({rows}) >= {max(1, restrictions.minimum_rows)}"]
    if restrictions.group_unit is not None:
        conditions.append(f"{_units(plan)} >= {max(1, restrictions.minimum_units)}")
    return f"coalesce({' AND '.join(conditions)}, false)"


def _units(plan: QueryPlan) -> str:
    return f"least({', '.join(['units', *(f'units_{measure.position}' for measure in measures(plan))])})"


def _released(plan: QueryPlan, restrictions: QueryRestrictions) -> str:
    units = "units" if restrictions.group_unit is None else _units(plan)
    figures = [(units, "BIGINT", UNITS), ("rows", "BIGINT", ROWS)]
    for measure in measures(plan):
        figures += [(name, "BIGINT" if name.startswith("n_") else "DOUBLE", name) for name in measure.columns]
    outputs = [
        *key_columns(plan),
        f"CASE WHEN fit THEN '{GroupStatus.RELEASED}' ELSE '{GroupStatus.SUPPRESSED}' END AS {STATUS}",
        *(f"CASE WHEN fit THEN CAST({value} AS {kind}) END AS {name}" for value, kind, name in figures),
    ]
    order = f" ORDER BY {', '.join(f'{key} NULLS LAST' for key in key_columns(plan))}" if plan.keys else ""
    limit = restrictions.maximum_result_rows + 1
    return _select(outputs, "judged", f"{order} LIMIT {limit}")


def _select(outputs: Sequence[str], source: str, rest: str = "") -> str:
    return " ".join(["SELECT", ", ".join(outputs), "FROM", source + rest])


def _key_sql(key: KeyExpression) -> str:
    return _KEY_TEMPLATES[key.kind].format(column=_identifier(key.column))


def _condition_sql(condition: Condition) -> str:
    match condition:
        case Comparison(operand, operator, value):
            return f"{_operand_sql(operand, value)} {operator.value} {_literal_sql(value)}"
        case Membership(operand, values):
            listed = ", ".join(_literal_sql(value) for value in values)
            return f"{_operand_sql(operand, values[0])} IN ({listed})"
        case Negation(operand):
            return f"NOT ({_condition_sql(operand)})"
        case Junction(connective, operands):
            return f" {connective.value} ".join(f"({_condition_sql(operand)})" for operand in operands)


def _operand_sql(operand: KeyExpression, value: Literal) -> str:
    if isinstance(value, datetime):
        return f"epoch_us({_identifier(operand.column)})"
    return _key_sql(operand)


def _literal_sql(value: Literal) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return str((value - _EPOCH) // timedelta(microseconds=1))
        case date():
            return f"DATE '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case int() | float():
            return repr(value)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

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

**Dominance.** Where the agreement asks for it, the statement also gives, per sum, the
largest and the smallest contributions of a group. `withhold` judges by them and drops
them: they never leave.

**Numbers.** Texts are grouped by their numbers where the engine has such: the first of the
two aggregations is over all rows, and numbers are compared faster.

Limitation: what several answers tell together is not seen here, see
`connector.queries.history`.
"""

from collections.abc import Mapping, Sequence
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
from connector.queries.plan import KeyExpression, KeyKind, QueryPlan
from connector.queries.writing import condition_sql, identifier, key_sql, number_name, select
from policies.disclosure import Check, Group, Limits, failed_checks
from policies.dominance import Contributions, fewest_needed
from policies.restrictions import QueryRestrictions, permitted_names
from policies.rounding import rounded_count, rounded_spread, rounded_sum

_SMALLEST_PROTECTED: Final = 2
_LARGEST_RANK: Final = 100_000
_TEXTS: Final = frozenset({"string", "large_string"})


def site_statement(
    plan: QueryPlan,
    restrictions: QueryRestrictions,
    columns: Sequence[Column],
    *,
    numbered: bool = False,
) -> str:
    """Write the DuckDB statement that one site runs.

    Args:
        plan: What is asked.
        restrictions: What the agreement leaves of the table.
        columns: The table's columns at this site.
        numbered: Whether the engine has a number beside every column, see
            `connector.ports.QueryEngine`. The result is the same.

    Returns:
        One SELECT over `plan.table` whose result has the columns of
        `connector.queries.partials.partial_columns` and, where contributions are
        looked at, two more per sum (`evidence_columns`), sorted by key, with at
        most one row more than the agreement allows, so that an excess shows.

    Raises:
        QueryRefusedError: The plan uses a column that the agreement withholds or
            the site lacks, the group unit is missing, or extremes would be
            unprotected.
    """
    _check(plan, restrictions, columns)
    unit = restrictions.group_unit
    numbers = _numbers(plan, columns, unit) if numbered else frozenset()
    stages = [f"permitted AS ({_permitted(plan, unit, numbers)})"]
    if unit is None:
        stages.append(f"grouped AS ({_grouped_rows(plan, restrictions, numbers)})")
    else:
        stages.append(f"per_unit AS ({_per_unit(plan, numbers)})")
        stages.append(f"centred AS ({_centred(plan)})")
        stages.append(f"grouped AS ({_grouped_units(plan, restrictions)})")
    stages.append(f"judged AS ({select(['*', f'{_verdict(plan, restrictions)} AS fit'], 'grouped')})")
    return f"WITH {', '.join(stages)} {_released(plan, restrictions)}"


def limits_of(restrictions: QueryRestrictions) -> Limits:
    """What the restrictions ask of a single group."""
    return Limits(
        minimum_rows=restrictions.minimum_rows,
        minimum_units=None if restrictions.group_unit is None else restrictions.minimum_units,
        dominance=restrictions.dominance,
        p_percent=restrictions.p_percent,
    )


def evidence_columns(plan: QueryPlan, restrictions: QueryRestrictions) -> tuple[str, ...]:
    """Name the columns that an engine's answer has beyond those that may leave, in order."""
    if not limits_of(restrictions).looks_at_contributions:
        return ()
    positions = [measure.position for measure in measures(plan) if measure.total]
    return tuple(f"{name}_{position}" for position in positions for name in ("top", "least"))


def judge(
    plan: QueryPlan, restrictions: QueryRestrictions, partials: pa.Table
) -> tuple[frozenset[Check], ...]:
    """Say for every group of an engine's answer which checks it fails.

    Args:
        plan: What was asked.
        restrictions: What every group has to keep.
        partials: What the engine answered to `site_statement`.

    Raises:
        PartialsInvalidError: The columns are not those of the statement.
    """
    if tuple(partials.column_names) != (*partial_columns(plan), *evidence_columns(plan, restrictions)):
        raise PartialsInvalidError("The engine's answer does not have the columns of the plan.")
    limits = limits_of(restrictions)
    return tuple(_failed(plan, limits, row) for row in partials.to_pylist())


def withhold(plan: QueryPlan, restrictions: QueryRestrictions, partials: pa.Table) -> pa.Table:
    """Look at a site's answer again before it leaves: withhold what fails a check, and round.

    Args:
        plan: What was asked.
        restrictions: What every group has to keep.
        partials: What the engine answered.

    Returns:
        The same groups with the columns that may leave; every group that fails a
        check holds nothing but its keys and `suppressed`.

    Raises:
        QueryRefusedError: More groups than the agreement allows.
        PartialsInvalidError: The columns are not those of the plan.
    """
    failed = judge(plan, restrictions, partials)
    if partials.num_rows > restrictions.maximum_result_rows:
        raise refusal("too-many-groups")
    fit = [not checks for checks in failed]
    rows = [_rounded(plan, row, restrictions.rounding_base) for row in partials.to_pylist()]
    public = {*key_columns(plan), STATUS}
    columns = {
        name: partials.column(name) if name in public else _kept(name, rows, partials.schema.field(name), fit)
        for name in partial_columns(plan)
    }
    statuses = [GroupStatus.RELEASED if released else GroupStatus.SUPPRESSED for released in fit]
    columns[STATUS] = pa.chunked_array([pa.array([status.value for status in statuses], pa.string())])
    return pa.table(columns)


def _kept(
    name: str, rows: Sequence[Mapping[str, Any]], field: "pa.Field[Any]", fit: Sequence[bool]
) -> "pa.ChunkedArray[Any]":
    values = [row[name] if released else None for row, released in zip(rows, fit, strict=True)]
    return pa.chunked_array([pa.array(values, field.type)])


def _failed(plan: QueryPlan, limits: Limits, row: Mapping[str, Any]) -> frozenset[Check]:
    found = measures(plan)
    group = Group(
        rows=(row[ROWS], *(row[f"n_{measure.position}"] for measure in found)),
        units=row[UNITS],
        contributions=tuple(
            _contributions(row, measure.position)
            for measure in found
            if measure.total and limits.looks_at_contributions
        ),
    )
    failed = failed_checks(group, limits)
    # What the statement has withheld itself stays withheld.
    return failed if row[STATUS] == GroupStatus.RELEASED.value else failed | {Check.THRESHOLD}


def _contributions(row: Mapping[str, Any], position: int) -> Contributions | None:
    total, largest, lowest = (row[f"{name}_{position}"] for name in ("sum", "top", "least"))
    if total is None or largest is None or lowest is None:
        return None
    return Contributions(total, tuple(largest), lowest)


def _rounded(plan: QueryPlan, row: Mapping[str, Any], base: int | None) -> Mapping[str, Any]:
    if base is None or row[ROWS] is None:
        return row
    figures = dict(row)
    figures[ROWS] = rounded_count(row[ROWS], base)
    if row[UNITS] is not None:
        figures[UNITS] = rounded_count(row[UNITS], base)
    for measure in measures(plan):
        i = measure.position
        count = row[f"n_{i}"]
        if count:
            figures[f"n_{i}"] = rounded_count(count, base)
            if measure.total:
                figures[f"sum_{i}"] = rounded_sum(row[f"sum_{i}"], count, base)
            if measure.spread:
                figures[f"m2_{i}"] = rounded_spread(row[f"m2_{i}"], count, base)
    return figures


def _check(plan: QueryPlan, restrictions: QueryRestrictions, columns: Sequence[Column]) -> None:
    known = {column.name for column in columns}
    if restrictions.group_unit is not None and restrictions.group_unit not in known:
        raise refusal("group-unit-missing")
    permitted = set(permitted_names(restrictions, sorted(known)))
    if not plan.used_columns <= permitted:
        raise refusal("unknown-column")
    extremes = any(measure.high_step or measure.low_step for measure in measures(plan))
    rank = restrictions.minimum_rows if restrictions.group_unit is None else restrictions.minimum_units
    if extremes and not _SMALLEST_PROTECTED <= rank <= _LARGEST_RANK:
        raise refusal("extreme-unprotected")


def _numbers(plan: QueryPlan, columns: Sequence[Column], unit: str | None) -> frozenset[str]:
    """Name the columns that are grouped by number: texts, and the unit, which is only counted.

    A single text is not among them: the engine groups by one column of numbered texts fast by itself.
    """
    if unit is None and len(plan.keys) == 1:
        return frozenset()
    texts = {column.name for column in columns if column.data_type in _TEXTS}
    numbered = {key.column for key in plan.keys if key.kind is KeyKind.VALUE} & texts
    return frozenset(numbered if unit is None else {*numbered, unit})


def _permitted(plan: QueryPlan, unit: str | None, numbers: frozenset[str]) -> str:
    """Select keys, unit and usable values of the rows that take part."""
    outputs = [f"{key_sql(key)} AS key_{index}" for index, key in enumerate(plan.keys)]
    outputs += [
        f"{identifier(number_name(key.column))} AS number_{index}"
        for index, key in enumerate(plan.keys)
        if _is_numbered(key, numbers)
    ]
    conditions = [] if plan.condition is None else [condition_sql(plan.condition)]
    if unit is not None:
        counted = identifier(number_name(unit) if unit in numbers else unit)
        outputs.append(f"{counted} AS unit")
        conditions.append(f"{counted} IS NOT NULL")
    for measure in measures(plan):
        value = f"CAST({identifier(measure.column)} AS DOUBLE)"
        outputs.append(f"CASE WHEN isfinite({value}) THEN {value} END AS value_{measure.position}")
    where = f" WHERE {' AND '.join(f'({condition})' for condition in conditions)}" if conditions else ""
    return select(outputs or ["1 AS one"], identifier(plan.table), where)


def _is_numbered(key: KeyExpression, numbers: frozenset[str]) -> bool:
    return key.kind is KeyKind.VALUE and key.column in numbers


def _keys_of_rows(plan: QueryPlan, numbers: frozenset[str]) -> tuple[list[str], list[str]]:
    """Give the keys as they come out of groups of rows, and what these rows are grouped by.

    Rows of one number have one text, so the first is that of all.
    """
    outputs, grouping = [], []
    for name, key in zip(key_columns(plan), plan.keys, strict=True):
        numbered = _is_numbered(key, numbers)
        outputs.append(f"first({name}) AS {name}" if numbered else name)
        grouping.append(name.replace("key_", "number_") if numbered else name)
    return outputs, grouping


def _first_stage(measure: MeasurePartials) -> list[str]:
    value, position = f"value_{measure.position}", measure.position
    figures = [f"count({value}) AS n_{position}"]
    if measure.total:
        figures.append(f"sum({value}) AS sum_{position}")
    if measure.spread:
        figures.append(f"var_pop({value}) * count({value}) AS m2_{position}")
    return figures


def _per_unit(plan: QueryPlan, numbers: frozenset[str]) -> str:
    figures = ["count(*) AS unit_rows"]
    for measure in measures(plan):
        figures += _first_stage(measure)
        if measure.high_step is not None:
            figures.append(f"max(value_{measure.position}) AS high_{measure.position}")
        if measure.low_step is not None:
            figures.append(f"min(value_{measure.position}) AS low_{measure.position}")
    keys, grouping = _keys_of_rows(plan, numbers)
    return select([*keys, "unit", *figures], "permitted", f" GROUP BY {', '.join([*grouping, 'unit'])}")


def _centred(plan: QueryPlan) -> str:
    """Give every unit its group's mean, from which the squared distances are summed without cancellation."""
    spread = [measure.position for measure in measures(plan) if measure.spread]
    if not spread:
        return "SELECT * FROM per_unit"
    means = [f"sum(sum_{i}) OVER same / sum(n_{i}) OVER same AS mean_{i}" for i in spread]
    partition = f"PARTITION BY {', '.join(key_columns(plan))}" if plan.keys else ""
    return select(["*", *means], "per_unit", f" WINDOW same AS ({partition})")


def _grouped_units(plan: QueryPlan, restrictions: QueryRestrictions) -> str:
    rank, limits = restrictions.minimum_units, limits_of(restrictions)
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
        figures += _evidence(measure, limits, f"sum_{position}")
        figures += _extremes(measure, rank, high=f"high_{position}", low=f"low_{position}")
    keys = key_columns(plan)
    return _grouped(keys, keys, figures, "centred")


def _grouped_rows(plan: QueryPlan, restrictions: QueryRestrictions, numbers: frozenset[str]) -> str:
    rank, limits = restrictions.minimum_rows, limits_of(restrictions)
    figures = ["CAST(NULL AS BIGINT) AS units", "count(*) AS rows"]
    for measure in measures(plan):
        value = f"value_{measure.position}"
        figures += [*_first_stage(measure), *_evidence(measure, limits, value)]
        figures += _extremes(measure, rank, high=value, low=value)
    return _grouped(*_keys_of_rows(plan, numbers), figures, "permitted")


def _grouped(keys: Sequence[str], grouping: Sequence[str], figures: Sequence[str], source: str) -> str:
    return select([*keys, *figures], source, f" GROUP BY {', '.join(grouping)}" if grouping else "")


def _evidence(measure: MeasurePartials, limits: Limits, contribution: str) -> list[str]:
    if not (limits.looks_at_contributions and measure.total):
        return []
    count, position = fewest_needed(limits.dominance), measure.position
    return [f"max({contribution}, {count}) AS top_{position}", f"min({contribution}) AS least_{position}"]


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
        *(f"CASE WHEN fit THEN {name} END AS {name}" for name in evidence_columns(plan, restrictions)),
    ]
    order = f" ORDER BY {', '.join(f'{key} NULLS LAST' for key in key_columns(plan))}" if plan.keys else ""
    limit = restrictions.maximum_result_rows + 1
    return select(outputs, "judged", f"{order} LIMIT {limit}")

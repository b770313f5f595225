"""What a query tells together with those that the same agreement answered before.

The rows of all these queries are cut into atoms, by one statement of our own in the
engine: rows that every query puts into the same group, or leaves out. From then on it
is arithmetic, see `policies.suppression`. Each measure is looked at by itself, since a
group can have many rows and few values.

A query of which nothing could be released is refused; otherwise the groups that would
tell too much are withheld.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from connector.queries.decompose import judge
from connector.queries.errors import PartialsInvalidError, refusal
from connector.queries.partials import STATUS, GroupStatus, key_columns, measures
from connector.queries.plan import QueryPlan
from connector.queries.writing import condition_sql, identifier, key_sql, select
from policies.atoms import Atom, Thresholds
from policies.restrictions import QueryRestrictions
from policies.suppression import releasable

Key = tuple[object, ...]

MAXIMUM_ATOMS: Final = 20_000
"""More atoms than this are not audited, and what is not audited is refused."""
_MAXIMUM_WORK: Final = 5_000_000
"""Atoms times groups: some seconds of arithmetic at most, in a thread."""
_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Answered:
    """A query that was answered.

    Attributes:
        plan: What was asked.
        released: Keys of the groups whose figures have left.
        withheld: Keys of the groups that were withheld for their own sake: too
            small, or dominated.
    """

    plan: QueryPlan
    released: frozenset[Key]
    withheld: frozenset[Key]


def asked_before(plan: QueryPlan, history: Sequence[Answered]) -> Answered | None:
    """Find an earlier query about the same groups that told all that is asked now."""
    for earlier in history:
        same = (earlier.plan.keys, earlier.plan.condition) == (plan.keys, plan.condition)
        if same and _measured(plan) <= _measured(earlier.plan):
            return earlier
    return None


def needs_audit(plan: QueryPlan, history: Sequence[Answered]) -> bool:
    """Tell whether the atoms have to be known: there is a history, and this was not all asked before."""
    return bool(history) and asked_before(plan, history) is None


def atoms_statement(plan: QueryPlan, history: Sequence[Answered], restrictions: QueryRestrictions) -> str:
    """Write the DuckDB statement that cuts the rows into atoms.

    Args:
        plan: What is asked now.
        history: What was answered before.
        restrictions: What the agreement asks of groups.

    Returns:
        One SELECT over `plan.table`. Its rows are the atoms: per query whether
        they take part (`in_i`; the query that is asked now is the last) and in
        which group (`key_i_j`), how many rows they have (`rows_all`, and
        `rows_j` with a value of the j-th measure) and, where these are too few
        units, who they are about (`members_…`, as hashes that never leave).
    """
    plans = (*(earlier.plan for earlier in history), plan)
    unit = restrictions.group_unit
    columns = _measure_columns(plans)
    signature = [name for index, one in enumerate(plans) for name in _signature(index, one)]
    stages = [f"cut AS ({_cut(plans, columns, unit)})"]
    taken = " OR ".join(f"in_{index}" for index in range(len(plans)))
    counts = ["count(*) AS rows_all", *(f"count(value_{j}) AS rows_{j}" for j in range(len(columns)))]
    grouping = ", ".join(signature)
    if unit is None:
        stages.append(
            f"atoms AS ({select([*signature, *counts], 'cut', f' WHERE {taken} GROUP BY {grouping}')})"
        )
    else:
        per_unit = select([*signature, "unit", *counts], "cut", f" WHERE {taken} GROUP BY {grouping}, unit")
        stages.append(f"per_unit AS ({per_unit})")
        figures = [
            figure
            for name in (_ALL, *map(str, range(len(columns))))
            for figure in _atom_figures(name, restrictions.minimum_units)
        ]
        stages.append(f"atoms AS ({select([*signature, *figures], 'per_unit', f' GROUP BY {grouping}')})")
    # Sorted, so that the same effort comes to the same verdict after a restart.
    order = f" ORDER BY {grouping} LIMIT {MAXIMUM_ATOMS + 1}"
    return f"WITH {', '.join(stages)} {select(['*'], 'atoms', order)}"


def _signature(index: int, plan: QueryPlan) -> list[str]:
    return [f"in_{index}", *(f"key_{index}_{position}" for position in range(len(plan.keys)))]


def _cut(plans: Sequence[QueryPlan], columns: Sequence[str], unit: str | None) -> str:
    outputs = []
    for index, plan in enumerate(plans):
        condition = "true" if plan.condition is None else f"coalesce({condition_sql(plan.condition)}, false)"
        outputs.append(f"{condition} AS in_{index}")
        outputs += [
            f"CASE WHEN {condition} THEN {key_sql(key)} END AS key_{index}_{position}"
            for position, key in enumerate(plan.keys)
        ]
    for j, column in enumerate(columns):
        value = f"CAST({identifier(column)} AS DOUBLE)"
        outputs.append(f"CASE WHEN isfinite({value}) THEN {value} END AS value_{j}")
    where = ""
    if unit is not None:
        outputs.append(f"{identifier(unit)} AS unit")
        where = f" WHERE {identifier(unit)} IS NOT NULL"
    return select(outputs, identifier(plans[0].table), where)


def _atom_figures(name: str, minimum_units: int) -> list[str]:
    taking_part = f"FILTER (WHERE rows_{name} > 0)"
    few = f"count(*) {taking_part} < {minimum_units}"
    # The smallest hashes name all units of an atom that has fewer than these.
    members = f"min(hash(unit), {max(1, minimum_units)}) {taking_part}"
    return [
        f"CAST(sum(rows_{name}) AS BIGINT) AS rows_{name}",
        f"CASE WHEN {few} THEN {members} END AS members_{name}",
    ]


def protect(
    plan: QueryPlan,
    restrictions: QueryRestrictions,
    partials: pa.Table,
    history: Sequence[Answered],
    atoms: pa.Table | None,
) -> tuple[pa.Table, Answered]:
    """Withhold the groups that would tell too much together with what was answered before.

    Args:
        plan: What is asked now.
        restrictions: What every group has to keep.
        partials: The engine's answer to `site_statement`.
        history: What was answered before.
        atoms: The engine's answer to `atoms_statement`; None where
            `needs_audit` says that it is not needed.

    Returns:
        The answer, in which those groups are marked as suppressed, and what it tells.

    Raises:
        QueryRefusedError: Nothing could be released, or the queries cut the
            rows too finely to tell.
        PartialsInvalidError: An answer of the engine has another shape.
    """
    keys = [_key(row, key_columns(plan)) for row in partials.to_pylist()]
    failed = judge(plan, restrictions, partials)
    small = frozenset(key for key, checks in zip(keys, failed, strict=True) if checks)
    fit = frozenset(keys) - small
    released = _releasable(plan, restrictions, history, atoms, fit, small)
    if fit and not released:
        raise refusal("overlap")
    statuses = [(GroupStatus.RELEASED if key in released else GroupStatus.SUPPRESSED).value for key in keys]
    place = partials.schema.get_field_index(STATUS)
    marked = partials.set_column(place, STATUS, pa.array(statuses, pa.string()))
    return marked, Answered(plan, released, small)


def _releasable(
    plan: QueryPlan,
    restrictions: QueryRestrictions,
    history: Sequence[Answered],
    atoms: pa.Table | None,
    fit: frozenset[Key],
    small: frozenset[Key],
) -> frozenset[Key]:
    if not history:
        return fit
    earlier = asked_before(plan, history)
    if earlier is not None:
        return fit & earlier.released
    if atoms is None:
        raise PartialsInvalidError("The queries before this one were not looked at.")
    return _audited((*history, Answered(plan, fit, small)), restrictions, atoms)


def _audited(queries: Sequence[Answered], restrictions: QueryRestrictions, atoms: pa.Table) -> frozenset[Key]:
    """Decide for the last of several queries which of its groups may leave after the others."""
    current = queries[-1]
    groups = sum(len(one.released) + len(one.withheld) for one in queries)
    if atoms.num_rows > MAXIMUM_ATOMS or atoms.num_rows * groups > _MAXIMUM_WORK:
        raise refusal("overlap-too-fine")
    released = current.released
    columns = _measure_columns([one.plan for one in queries])
    rows = atoms.to_pylist()
    for name, measure in ((_ALL, None), *((str(j), column) for j, column in enumerate(columns))):
        if measure is None or measure in _measured(current.plan):
            told = [
                one if measure is None or measure in _measured(one.plan) else None for one in queries[:-1]
            ]
            asked = replace(current, released=released)
            released &= _audited_figure((*told, asked), restrictions, rows, name)
    return released


def _audited_figure(
    queries: Sequence[Answered | None],
    restrictions: QueryRestrictions,
    rows: Sequence[Mapping[str, Any]],
    name: str,
) -> frozenset[Key]:
    """Decide by one figure: the number of rows, or the sum of one measure."""
    present = [row for row in rows if row[f"rows_{name}"]]
    atoms = [Atom(int(row[f"rows_{name}"]), _members(row, name)) for row in present]
    members = list(_groups(queries, present))
    wanted = sorted(queries[-1].released, key=repr) if queries[-1] is not None else []
    asked = {key: group for index, key, group in members if index == len(queries) - 1}
    thresholds = Thresholds(restrictions.minimum_rows, restrictions.minimum_units)
    allowed = releasable(
        atoms,
        thresholds,
        known=[group for index, key, group in members if _is_known(queries, index, key)],
        secret=[group for index, key, group in members if _is_secret(queries, index, key)],
        wanted=[asked.get(key, ()) for key in wanted],
    )
    return frozenset(key for key, fine in zip(wanted, allowed, strict=True) if fine)


_Member = tuple[int, Key, Collection[int]]


def _groups(queries: Sequence[Answered | None], rows: Sequence[Mapping[str, Any]]) -> Iterator[_Member]:
    """Give the atoms of every group of every query."""
    for index, query in enumerate(queries):
        if query is None:
            continue
        names = [f"key_{index}_{position}" for position in range(len(query.plan.keys))]
        groups: dict[Key, list[int]] = {}
        for number, row in enumerate(rows):
            if row[f"in_{index}"]:
                groups.setdefault(_key(row, names), []).append(number)
        yield from ((index, key, group) for key, group in groups.items())


def _is_known(queries: Sequence[Answered | None], index: int, key: Key) -> bool:
    query = queries[index]
    return index < len(queries) - 1 and query is not None and key in query.released


def _is_secret(queries: Sequence[Answered | None], index: int, key: Key) -> bool:
    query = queries[index]
    return query is not None and key in query.withheld


def _members(row: Mapping[str, Any], name: str) -> frozenset[int] | None:
    members = row.get(f"members_{name}")
    return None if members is None else frozenset(members)


def _key(row: Mapping[str, Any], names: Sequence[str]) -> Key:
    # A value that is not a number is not equal to itself, but it is one group.
    values = (row[name] for name in names)
    return tuple("nan" if isinstance(value, float) and math.isnan(value) else value for value in values)


def _measured(plan: QueryPlan) -> set[str]:
    return {measure.column for measure in measures(plan)}


def _measure_columns(plans: Sequence[QueryPlan]) -> list[str]:
    return sorted(set().union(*(_measured(plan) for plan in plans)))

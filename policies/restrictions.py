"""What a permission leaves of a dataset: restrictions as data, never as SQL."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from policies.actions import RAW, REPRODUCE, includes
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ALLOWED_COLUMN,
    COUNT,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_RESULT_ROWS,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
)
from policies.model import AnyConstraint, Connective, Constraint, Operator, Permission, Policy
from schemas.strict_json import JsonValue

DEFAULT_MINIMUM_ROWS: Final = 10
"""Fewest rows of a released group where the permission states no number."""

DEFAULT_MINIMUM_UNITS: Final = 10
"""Fewest units of a released group where the permission names a unit but no number."""

DEFAULT_MAXIMUM_RESULT_ROWS: Final = 10_000
"""Most rows of a released result where the permission states no number."""


@dataclass(frozen=True, slots=True)
class QueryRestrictions:
    """The limits that one agreement puts on a governed query.

    Attributes:
        columns: Columns that exist for the query; None where the agreement
            withholds none.
        group_unit: Column whose distinct values a group must hold enough of;
            None where rows are counted instead.
        minimum_units: Fewest distinct units in a released group.
        minimum_rows: Fewest rows in a released group.
        maximum_result_rows: Most rows in a released result.
    """

    columns: tuple[str, ...] | None
    group_unit: str | None
    minimum_units: int
    minimum_rows: int
    maximum_result_rows: int


@dataclass(frozen=True, slots=True)
class ComputationRestrictions:
    """The limits that one agreement puts on a computation.

    Attributes:
        columns: Columns that the job sees; None where none is withheld.
        algorithms: SHA-256 digests (64 lower-case hexadecimal digits) of the
            algorithms that may run.
        output_kinds: Kinds of output that may be released, such as `metrics`
            and `model`.
        review: `auto` where checked outputs leave by themselves, `manual`
            where a person releases them.
    """

    columns: tuple[str, ...] | None
    algorithms: frozenset[str]
    output_kinds: frozenset[str]
    review: str


def query_restrictions(permission: Permission) -> QueryRestrictions:
    """Collect the limits that a permission puts on a governed query.

    Where a permission states a limit twice, the tighter one holds. Without a
    unit of counting, a minimum group size counts rows.

    Args:
        permission: The permission that opened the request.

    Returns:
        The limits, with the defaults of the profile where it is silent.
    """
    unit = min(values_in(permission, GROUP_UNIT), default=None)
    size = _largest(permission, MIN_GROUP_SIZE)
    rows = _largest(permission, MIN_GROUP_ROWS) or DEFAULT_MINIMUM_ROWS
    return QueryRestrictions(
        columns=_columns(permission),
        group_unit=unit,
        minimum_units=1 if unit is None else size or DEFAULT_MINIMUM_UNITS,
        minimum_rows=max(rows, size or 1) if unit is None else rows,
        maximum_result_rows=min(_numbers(permission, MAX_RESULT_ROWS), default=DEFAULT_MAXIMUM_RESULT_ROWS),
    )


def computation_restrictions(permission: Permission) -> ComputationRestrictions:
    """Collect the limits that a permission puts on a computation.

    Args:
        permission: The permission that opened the request.

    Returns:
        The limits. Where the permission is silent, no algorithm may run, no
        output may leave, and a person reviews.
    """
    reviews = values_in(permission, OUTPUT_REVIEW)
    return ComputationRestrictions(
        columns=_columns(permission),
        algorithms=frozenset(_common(permission, ALGORITHM_DIGEST) or ()),
        output_kinds=frozenset(_common(permission, OUTPUT_KIND) or ()),
        review="auto" if reviews == {"auto"} else "manual",
    )


def opens_raw_data(permission: Permission) -> bool:
    """Say whether a permission is wide enough for the data file as it is to be handed out.

    A limit on queries or computations would mean nothing to a raw copy, so a
    permission that states one never opens it.
    """
    return includes(permission.action, REPRODUCE) and all(
        part.left_operand in LEFT_OPERANDS and REPRODUCE in LEFT_OPERANDS[part.left_operand].actions
        for constraint in (*permission.constraints, *permission.refinements)
        for part in _comparisons(constraint)
    )


def offers_raw_data(policy: Policy) -> bool:
    """Say whether a policy lets the data file as it is leave: permitted, and not simply prohibited.

    A prohibition with conditions does not decide here but with each access.
    """
    prohibited = any(
        includes(prohibition.action, action)
        for prohibition in policy.prohibitions
        if not prohibition.constraints and not prohibition.refinements
        for action in RAW
    )
    return not prohibited and any(opens_raw_data(permission) for permission in policy.permissions)


def use_limit(permission: Permission) -> int | None:
    """Say how many uses a permission allows at most; None where it sets no limit.

    Source:
        ODRL 2.2, `count`: `lteq 20` allows twenty uses, `lt 20` nineteen.
    """
    limits = [
        int(value) - (part.operator is Operator.LT)
        for part in limits_of(permission)
        if part.left_operand == COUNT
        for value in part.right_operand
    ]
    return max(min(limits), 0) if limits else None


def limits_of(permission: Permission) -> Iterator[Constraint]:
    """Yield the comparisons that hold in every case: those outside `or` and `xone`."""
    for constraint in (*permission.constraints, *permission.refinements):
        yield from _always(constraint)


def values_in(permission: Permission, left_operand: str) -> set[str]:
    """Collect every value that a permission states for a left operand."""
    return {
        value
        for part in limits_of(permission)
        if part.left_operand == left_operand
        for value in part.right_operand
    }


def _comparisons(constraint: AnyConstraint) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
        return
    for operand in constraint.operands:
        yield from _comparisons(operand)


def _always(constraint: AnyConstraint) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
    elif constraint.connective in {Connective.AND, Connective.AND_SEQUENCE}:
        for operand in constraint.operands:
            yield from _always(operand)


def _numbers(permission: Permission, left_operand: str) -> list[int]:
    return [int(value) for value in values_in(permission, left_operand)]


def _largest(permission: Permission, left_operand: str) -> int | None:
    return max(_numbers(permission, left_operand), default=None)


def _common(permission: Permission, left_operand: str) -> tuple[str, ...] | None:
    """Intersect the lists that a permission states; None where it states none."""
    lists = [part.right_operand for part in limits_of(permission) if part.left_operand == left_operand]
    if not lists:
        return None
    return tuple(value for value in dict.fromkeys(lists[0]) if all(value in other for other in lists))


def _columns(permission: Permission) -> tuple[str, ...] | None:
    return _common(permission, ALLOWED_COLUMN)


def as_data(restrictions: QueryRestrictions | ComputationRestrictions) -> dict[str, JsonValue]:
    """Restrictions as plain JSON values, for receipts; sets in order."""
    values = asdict(restrictions)
    return {
        name: sorted(value)
        if isinstance(value, frozenset)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }

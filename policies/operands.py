"""What a left operand measures: each one a pure function of the request and the facts."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from policies import purposes
from policies.facts import Facts, Request
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ASSIGNEE,
    COUNT,
    DATE_TIME,
    LEFT_OPERANDS,
    PURPOSE,
)
from policies.logic import Truth, all_of, any_of, not_
from policies.model import Constraint, Operator
from policies.values import Value, read_value

Measure = Callable[[Request, Facts, str], Value | None]
"""Measures a left operand for the rule with this identifier; None where nothing is known."""


def _next_use(_: Request, facts: Facts, rule: str) -> int | None:
    """Number the use that is asked for: one more than there were."""
    uses = facts.uses.get(rule)
    return None if uses is None else uses + 1


MEASURES: Final[Mapping[str, Measure]] = {
    PURPOSE: lambda request, _, __: request.purpose,
    DATE_TIME: lambda _, facts, __: facts.now.astimezone(UTC),
    COUNT: _next_use,
    ASSIGNEE: lambda request, _, __: request.assignee,
    ALGORITHM_DIGEST: lambda request, _, __: request.algorithm_digest,
}
"""The left operands that decide whether a rule applies, by absolute IRI."""


def measured(left_operand: str, request: Request, facts: Facts, rule: str) -> Value | None:
    """Measure a left operand.

    Args:
        left_operand: Absolute IRI of what to measure.
        request: What is asked.
        facts: The state of the world.
        rule: Identifier of the rule that asks, for what is counted per rule.

    Returns:
        What was found; None where nothing is known or nothing can be measured.
    """
    measure = MEASURES.get(left_operand)
    return None if measure is None else measure(request, facts, rule)


def holds(constraint: Constraint, found: Value | None) -> Truth:
    """Compare what was measured with the right operand of a constraint.

    Args:
        constraint: What to compare with, and how.
        found: What was measured, or None.

    Returns:
        True or False; None where nothing was measured, where the types differ
        or where the operator cannot compare them. `neq` and `isNoneOf` are
        unknown, not true, where nothing was measured.
    """
    known = LEFT_OPERANDS.get(constraint.left_operand)
    if known is None or found is None:
        return None
    values = [read_value(known.value_type, value, constraint.data_type) for value in constraint.right_operand]
    if constraint.left_operand == PURPOSE:
        return _purpose_holds(constraint.operator, str(found), constraint.right_operand)
    return compare(constraint.operator, found, tuple(values))


def compare(operator: Operator, found: Value, values: tuple[Value | None, ...]) -> Truth:
    """Compare a value with one or several others of its own type.

    Args:
        operator: How to compare.
        found: The value on the left.
        values: The values on the right; None for one that could not be read.

    Returns:
        True or False; None for values of different types, for none at all and
        for the operators that need a hierarchy.
    """
    if not values:
        return None
    if operator in _ORDERS:
        return _ORDERS[operator](found, values[0]) if len(values) == 1 else None
    equal = tuple(_equal(found, value) for value in values)
    if operator in {Operator.EQ, Operator.IS_ALL_OF}:
        return all_of(equal)
    if operator is Operator.IS_ANY_OF:
        return any_of(equal)
    if operator in {Operator.NEQ, Operator.IS_NONE_OF}:
        return not_(any_of(equal))
    return None


def _equal(left: Value, right: Value | None) -> Truth:
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return left == right
    return left == right if type(left) is type(right) else None


def _less(left: Value, right: Value | None) -> Truth:
    if isinstance(left, datetime) and isinstance(right, datetime):
        return left < right
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return left < right
    return None  # texts have no order that two parties would agree on


def _less_or_equal(left: Value, right: Value | None) -> Truth:
    return any_of((_less(left, right), _equal(left, right))) if _less(left, right) is not None else None


_ORDERS: Final[Mapping[Operator, Callable[[Value, Value | None], Truth]]] = {
    Operator.LT: _less,
    Operator.LTEQ: _less_or_equal,
    Operator.GT: lambda left, right: not_(_less_or_equal(left, right)),
    Operator.GTEQ: lambda left, right: not_(_less(left, right)),
}


def _purpose_holds(operator: Operator, found: str, wanted: tuple[str, ...]) -> Truth:
    """Compare purposes: `eq` and `neq` by name, everything else along the hierarchy."""
    if operator in {Operator.EQ, Operator.NEQ}:
        return compare(operator, found, wanted)
    kind_of = any_of(purposes.is_a(found, purpose) for purpose in wanted)
    if operator in {Operator.IS_A, Operator.IS_ANY_OF}:
        return kind_of
    return not_(kind_of) if operator is Operator.IS_NONE_OF else None

"""What a left operand measures: each one a pure function of the request and the facts."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from policies import purposes
from policies.catena_x import (
    BUSINESS_PARTNER_GROUP,
    BUSINESS_PARTNER_NUMBER,
    CATENA_X_MEMBERSHIP,
    FRAMEWORK_AGREEMENT,
    USAGE_END_DATE,
    USAGE_END_DAYS,
)
from policies.facts import Facts, Partner, Request
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ASSIGNEE,
    COUNT,
    DATE_TIME,
    DELAY_PERIOD,
    ELAPSED_TIME,
    EVENT,
    LEFT_OPERANDS,
    MEMBERSHIP,
    METERED_TIME,
    ORGANISATION,
    PURPOSE,
    RECIPIENT,
    ROLE,
    SEAT,
    SECURITY_LEVEL,
    SPATIAL,
    TIME_INTERVAL,
)
from policies.logic import Truth, all_of, any_of, not_
from policies.model import Constraint, Operator
from policies.places import is_within
from policies.values import Value, read_value

Found = Value | frozenset[str] | Mapping[str, bool]
"""What was measured: one value, all that apply, such as somebody's roles, or whether each of several does."""

Measure = Callable[[Request, Facts, str], Found | None]
"""Measures a left operand for the rule with this identifier; None where nothing is known."""


def _next_use(_: Request, facts: Facts, rule: str) -> int | None:
    """Number the use that is asked for: one more than there were."""
    uses = facts.uses.get(rule)
    return None if uses is None else uses + 1


def _since_agreed(_: Request, facts: Facts, __: str) -> timedelta | None:
    return None if facts.started is None else facts.now - facts.started


def _since_last_use(_: Request, facts: Facts, rule: str) -> timedelta | None:
    """Measure the time since the last use: longer than any interval where there was none."""
    if rule not in facts.last_used:
        return None
    last = facts.last_used[rule]
    return timedelta.max if last is None else facts.now - last


def _of_partner(measure: Callable[[Partner], Found | None]) -> Measure:
    """Measure something about a partner of whom something is known; of any other nothing is."""
    return lambda _, facts, __: None if facts.partner is None else measure(facts.partner)


def _several(measure: Callable[[Partner], frozenset[str]]) -> Measure:
    """Measure something of which a partner may have several; only a register knows that there are no more."""

    def found(partner: Partner) -> Found:
        values = measure(partner)
        return values if partner.complete else dict.fromkeys(values, True)

    return _of_partner(found)


def _only(value: str | None) -> frozenset[str] | None:
    return None if value is None else frozenset({value})


MEASURES: Final[Mapping[str, Measure]] = {
    PURPOSE: lambda request, _, __: request.purpose,
    DATE_TIME: lambda _, facts, __: facts.now.astimezone(UTC),
    ELAPSED_TIME: _since_agreed,
    DELAY_PERIOD: _since_agreed,
    TIME_INTERVAL: _since_last_use,
    METERED_TIME: lambda _, facts, rule: facts.metered.get(rule),
    COUNT: _next_use,
    ASSIGNEE: lambda request, _, __: request.assignee,
    RECIPIENT: lambda request, _, __: request.recipient or request.assignee,
    ORGANISATION: _of_partner(lambda partner: partner.organisation),
    MEMBERSHIP: _several(lambda partner: partner.memberships),
    ROLE: _several(lambda partner: partner.roles),
    SECURITY_LEVEL: _several(lambda partner: partner.security_levels),
    SEAT: _of_partner(lambda partner: partner.seat),
    CATENA_X_MEMBERSHIP: _several(
        lambda partner: frozenset({"active"}) if partner.catena_x_member else frozenset()
    ),
    BUSINESS_PARTNER_NUMBER: _of_partner(lambda partner: _only(partner.business_partner_number)),
    BUSINESS_PARTNER_GROUP: _several(lambda partner: partner.business_partner_groups),
    FRAMEWORK_AGREEMENT: _several(lambda partner: partner.framework_agreements),
    SPATIAL: lambda _, facts, __: facts.place,
    EVENT: lambda _, facts, __: facts.events or None,
    ALGORITHM_DIGEST: lambda request, _, __: request.algorithm_digest,
    USAGE_END_DATE: lambda _, facts, __: facts.now.astimezone(UTC),
    USAGE_END_DAYS: _since_agreed,
}
"""The left operands that decide whether a rule applies, by absolute IRI."""


def measured(left_operand: str, request: Request, facts: Facts, rule: str) -> Found | None:
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


def holds(constraint: Constraint, found: Found | None) -> Truth:
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
    if isinstance(found, frozenset):
        return _among(constraint.operator, found, constraint.right_operand)
    if isinstance(found, Mapping):
        return _each(constraint.operator, [found.get(name) for name in constraint.right_operand])
    if constraint.left_operand in _HIERARCHIES:
        return _contained(constraint, str(found))
    values = tuple(
        read_value(known.value_type, value, constraint.data_type) for value in constraint.right_operand
    )
    if constraint.left_operand in _LAST_MOMENTS:
        return _not_after(constraint, found, values)
    return compare(constraint.operator, found, values)


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
    if isinstance(left, timedelta) and isinstance(right, timedelta):
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


_HIERARCHIES: Final[Mapping[str, tuple[Callable[[str, str], Truth], Operator]]] = {
    PURPOSE: (purposes.is_a, Operator.IS_A),
    SPATIAL: (is_within, Operator.IS_PART_OF),
    SEAT: (is_within, Operator.IS_PART_OF),
}
"""What may contain what, per left operand (the narrower one first), and the operator that asks for it."""


def _contained(constraint: Constraint, found: str) -> Truth:
    """Compare along a hierarchy: `eq` and `neq` by name, everything else by what contains it."""
    operator, wanted = constraint.operator, constraint.right_operand
    if operator in {Operator.EQ, Operator.NEQ}:
        return compare(operator, found, wanted)
    contains, upwards = _HIERARCHIES[constraint.left_operand]
    inside = any_of(contains(found, value) for value in wanted)
    if operator in {upwards, Operator.IS_ANY_OF}:
        return inside
    return not_(inside) if operator is Operator.IS_NONE_OF else None


def _among(operator: Operator, found: frozenset[str], wanted: tuple[str, ...]) -> Truth:
    """Compare everything that applies with what is wanted: `eq` asks whether it is among it."""
    if not wanted:
        return None
    if operator in {Operator.EQ, Operator.IS_ALL_OF, Operator.HAS_PART}:
        return set(wanted) <= found
    if operator is Operator.IS_ANY_OF:
        return not found.isdisjoint(wanted)
    return found.isdisjoint(wanted) if operator in {Operator.NEQ, Operator.IS_NONE_OF} else None


def _each(operator: Operator, wanted: list[Truth]) -> Truth:
    """Join what is known of each name that is wanted; of a name that nobody knows, nothing is."""
    if not wanted:
        return None
    if operator in {Operator.EQ, Operator.IS_ALL_OF}:
        return all_of(wanted)
    if operator is Operator.IS_ANY_OF:
        return any_of(wanted)
    return not_(any_of(wanted)) if operator in {Operator.NEQ, Operator.IS_NONE_OF} else None


_LAST_MOMENTS: Final = frozenset({USAGE_END_DATE, USAGE_END_DAYS})


def _not_after(constraint: Constraint, found: Value, values: tuple[Value | None, ...]) -> Truth:
    """Read the `eq` of Catena-X, which names the last moment and not the only one."""
    ends = tuple(timedelta(value) if isinstance(value, int) else value for value in values)
    return compare(Operator.LTEQ, found, ends) if constraint.operator is Operator.EQ else None

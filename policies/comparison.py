"""All operators of ODRL over literals: true, false, or unknown.

Unknown is what was not found, what is of another type, and what no handed-in
hierarchy knows; so `neq` and `isNoneOf` are unknown, not true, where nothing
was found.

Source:
    ODRL Vocabulary 2.2, section 4.6 (https://www.w3.org/TR/odrl-vocab/#constraintRelationalOperators).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from policies.literals import Literal, Order, order, same
from policies.logic import Truth, all_of, any_of, not_
from policies.model import Constraint, Operator
from policies.world import World, reaches

Literals = tuple[Literal, ...]


def compare_literals(operator: Operator, found: Literals, wanted: Literals, world: World) -> Truth:
    """Compare what was found with what is wanted.

    Args:
        operator: How.
        found: The values of the left operand; several are a set, none is unknown.
        wanted: The values of the right operand.
        world: Hierarchies for `isA`, `isPartOf` and `hasPart`, and the zone of
            times without one.

    Returns:
        True or False; None where the values cannot be compared.
    """
    if not found or not wanted:
        return None
    if operator in _SINGLE and (len(found) > 1 or len(wanted) > 1):
        return None
    return _OPERATORS[operator](found, wanted, world)


def wanted_literals(constraint: Constraint) -> Literals:
    """List the right operands of a constraint with their datatype and unit."""
    return tuple(Literal(value, constraint.data_type, constraint.unit) for value in constraint.right_operand)


def _ordered(*accepted: Order) -> Callable[[Literals, Literals, World], Truth]:
    def compare(found: Literals, wanted: Literals, world: World) -> Truth:
        lies = order(found[0], wanted[0], world.zone)
        return None if lies is None else lies in accepted

    return compare


def _pairs(found: Literals, wanted: Literals, world: World) -> Iterator[Truth]:
    return (same(left, right, world.zone) for right in wanted for left in found)


def _all_found(found: Literals, wanted: Literals, world: World) -> Truth:
    return all_of(any_of(same(left, right, world.zone) for left in found) for right in wanted)


def _kind_of(found: Literals, wanted: Literals, world: World) -> Truth:
    return any_of(reaches(one.lexical, other.lexical, world.broader) for one in found for other in wanted)


def _part_of(found: Literals, wanted: Literals, world: World) -> Truth:
    return any_of(reaches(one.lexical, other.lexical, world.wholes) for one in found for other in wanted)


def _has_part(found: Literals, wanted: Literals, world: World) -> Truth:
    return all_of(_part_of((other,), found, world) for other in wanted)


_O = Operator
_SINGLE: Final = frozenset({_O.EQ, _O.NEQ, _O.LT, _O.LTEQ, _O.GT, _O.GTEQ})
_OPERATORS: Final[Mapping[Operator, Callable[[Literals, Literals, World], Truth]]] = {
    _O.EQ: lambda found, wanted, world: all_of(_pairs(found, wanted, world)),
    _O.NEQ: lambda found, wanted, world: not_(all_of(_pairs(found, wanted, world))),
    _O.LT: _ordered(Order.BEFORE),
    _O.LTEQ: _ordered(Order.BEFORE, Order.SAME),
    _O.GT: _ordered(Order.AFTER),
    _O.GTEQ: _ordered(Order.AFTER, Order.SAME),
    _O.IS_ANY_OF: lambda found, wanted, world: any_of(_pairs(found, wanted, world)),
    _O.IS_NONE_OF: lambda found, wanted, world: not_(any_of(_pairs(found, wanted, world))),
    _O.IS_ALL_OF: _all_found,
    _O.IS_A: _kind_of,
    _O.IS_PART_OF: _part_of,
    _O.HAS_PART: _has_part,
}

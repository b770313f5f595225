"""The comparisons that a rule depends on, each with what joins it to the others.

Source:
    ODRL Information Model 2.2, sections 2.5.2 and 2.6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.model import AnyConstraint, AnyRule, Connective, Constraint, LanguageMap, Permission
from policies.wording import GroupHead, group_head

__all__ = ["Condition", "Part", "conditions_of"]

_ALTERNATIVES: Final = frozenset({Connective.OR, Connective.XONE})


@dataclass(frozen=True, slots=True)
class Part:
    """A place in a group of conditions that a connective joins.

    Attributes:
        group: Where the group stands, such as `permission/0/constraint/2`; no
            two groups of a policy have the same.
        connective: What joins its conditions.
        position: Which of them this is, from 1.
        number: How many there are; at least two.
        head: How many of them have to hold, without a full stop.
    """

    group: str
    connective: Connective
    position: int
    number: int
    head: LanguageMap

    @property
    def written(self) -> dict[str, str | int]:
        """The same for programs: without the sentence, which says no more."""
        return {
            "group": self.group,
            "connective": self.connective.value,
            "position": self.position,
            "of": self.number,
        }


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a rule.

    Attributes:
        comparison: What is compared.
        within: Its place in each group that it stands in, the outermost one first.
        optional: Whether another condition may stand in for it.
    """

    comparison: Constraint
    within: tuple[Part, ...] = ()
    optional: bool = False


def conditions_of(name: str, rule: AnyRule) -> tuple[Condition, ...]:
    """List the comparisons of a rule and of its action, in the order of the policy.

    Args:
        name: Where the rule stands in its policy.
        rule: The rule. Of a permission every constraint is a limit of its own;
            those of a prohibition or a duty are joined, as only together they
            say when it holds.

    Returns:
        Each comparison. A group of one is none: it says what its member says.
    """
    places = [
        *((f"{name}/constraint/{index}", constraint) for index, constraint in enumerate(rule.constraints)),
        *((f"{name}/refinement/{index}", constraint) for index, constraint in enumerate(rule.refinements)),
    ]
    if isinstance(rule, Permission):
        return tuple(_each(places, GroupHead.LIMIT))
    return tuple(_joined(name, Connective.AND, places, GroupHead.TRIGGER))


_Places = Sequence[tuple[str, AnyConstraint]]


def _each(places: _Places, head: GroupHead) -> Iterator[Condition]:
    for place, constraint in places:
        if isinstance(constraint, Constraint):
            yield Condition(constraint)
        else:
            operands = [(f"{place}/{index}", operand) for index, operand in enumerate(constraint.operands)]
            yield from _joined(place, constraint.connective, operands, head)


def _joined(group: str, connective: Connective, places: _Places, head: GroupHead) -> Iterator[Condition]:
    """Yield the conditions of a group, each with its place in it."""
    optional = connective in _ALTERNATIVES
    number = len(places)
    for position, place in enumerate(places, 1):
        part = Part(group, connective, position, number, group_head(connective, head, number))
        for condition in _each([place], head if number == 1 else GroupHead.NESTED):
            yield replace(
                condition,
                within=condition.within if number == 1 else (part, *condition.within),
                optional=optional or condition.optional,
            )

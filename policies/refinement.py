"""Is a counter-offer within the offer? Same or tighter, never wider.

A request is within an offer if whatever it permits, the offer permits, and as
often. Each rule is compared by itself; where two conditions cannot be
compared, only the same condition will do. Every doubt ends in `within=False`,
which a person may still overrule.

Source:
    docs/policy-profile.md, "Counter-offers".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policies import purposes
from policies.actions import COMPUTE, QUERY, includes
from policies.left_operands import (
    ALLOWED_COLUMN,
    COLUMN_MASK,
    CONSENT,
    DENIED_COLUMN,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_RESULT_ROWS,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
    PURPOSE,
    QUERY_CLASS,
    ROW_FILTER,
)
from policies.model import (
    AnyConstraint,
    AnyRule,
    Conflict,
    Connective,
    Constraint,
    Duty,
    LanguageMap,
    Operator,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.restrictions import (
    ComputationRestrictions,
    QueryRestrictions,
    computation_restrictions,
    opens_raw_data,
    query_restrictions,
    values_in,
)
from policies.values import Value, read_value
from policies.wording import action_name, as_limit, as_trigger, sentence

_LIMITS: Final = frozenset(
    {
        *(QUERY_CLASS, GROUP_UNIT, MIN_GROUP_SIZE, MIN_GROUP_ROWS, MAX_RESULT_ROWS),
        *(ALLOWED_COLUMN, OUTPUT_KIND, OUTPUT_REVIEW),
    }
)
"""Limits that are compared as a whole, with the defaults that fill their silence."""

_CUMULATIVE: Final = (DENIED_COLUMN, COLUMN_MASK, ROW_FILTER, CONSENT)
"""Limits of which every value takes something away: more of them is tighter."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """Whether a counter-offer stays within an offer, and where it does not.

    Attributes:
        within: The answer.
        reasons: What goes beyond the offer, in German and English; empty where
            nothing does.
    """

    within: bool
    reasons: tuple[LanguageMap, ...]


def compare_with_offer(requested: Policy, offered: Policy) -> Refinement:
    """Compare a counter-offer, or an agreement, with the offer it answers.

    Identifiers, parties and the kind of policy are not compared; the target
    is, where both state one.

    Args:
        requested: What the other side wants.
        offered: What was offered.

    Returns:
        Whether every right in `requested` is in `offered`, with the same or
        tighter conditions, and every prohibition and obligation is kept.
    """
    reasons = (
        *_whole_reasons(requested, offered),
        *_permission_reasons(requested.permissions, offered.permissions),
        *_prohibition_reasons(requested.prohibitions, offered.prohibitions),
        *_obligation_reasons(requested.obligations, offered.obligations),
    )
    return Refinement(not reasons, reasons)


def same_rules(left: Policy, right: Policy) -> bool:
    """Tell whether two policies have the same rules, in whatever order and spelling.

    Spelling means equal values such as `…T00:00:00Z` and `…T00:00:00+00:00`;
    identifiers, parties, target and kind are not compared.
    """
    return _canonical_policy(left) == _canonical_policy(right)


def _whole_reasons(requested: Policy, offered: Policy) -> Iterator[LanguageMap]:
    if requested.inherits or offered.inherits:
        yield {
            "de": "Regeln anderer Verträge müssen erst eingesetzt werden.",
            "en": "Rules of other policies have to be filled in first.",
        }
    if _strategy(requested) is not _strategy(offered):
        yield {
            "de": "Der Gegenvorschlag löst Widersprüche anders auf.",
            "en": "The counter-offer settles conflicts in another way.",
        }
    if None not in {requested.target, offered.target} and requested.target != offered.target:
        yield {
            "de": "Der Gegenvorschlag gilt für einen anderen Datensatz.",
            "en": "The counter-offer is about another dataset.",
        }


def _strategy(policy: Policy) -> Conflict:
    """Name what settles conflicts; here a prohibition wins where a policy says nothing."""
    return policy.conflict or Conflict.PROHIBIT


def _permission_reasons(
    requested: Sequence[Permission], offered: Sequence[Permission]
) -> Iterator[LanguageMap]:
    backing = [
        [position for position, right in enumerate(offered) if not any(_widenings(want, right))]
        for want in requested
    ]
    for want, backers in zip(requested, backing, strict=True):
        if not backers:
            yield _first_widening(want, offered)
    if all(backing) and not _each_has_its_own(backing):
        # Two permissions from one would count their uses twice.
        yield {
            "de": "Der Gegenvorschlag macht aus einer Erlaubnis mehrere.",
            "en": "The counter-offer makes several permissions out of one.",
        }


def _first_widening(want: Permission, offered: Sequence[Permission]) -> LanguageMap:
    name = action_name(want.action)
    candidates = [right for right in offered if includes(right.action, want.action)]
    if not candidates:
        return sentence(
            "Die Aktion „{action}“ ist nicht angeboten.",
            "The action “{action}” is not offered.",
            action=name,
        )
    nearest = min((tuple(_widenings(want, right)) for right in candidates), key=len)
    return sentence("„{action}“: {reason}", "“{action}”: {reason}", action=name, reason=nearest[0])


def _widenings(want: Permission, right: Permission) -> Iterator[LanguageMap]:
    """Yield what makes a wanted permission wider than an offered one."""
    if not includes(right.action, want.action):
        yield _WIDER_ACTION
    if not _scopes_within(want, right):
        yield _WIDER_SCOPE
    have = _conditions(want)
    for need in _conditions(right):
        if not _restricts(need) and not _implied(need, have):
            yield sentence(
                "Diese Bedingung fehlt oder ist gelockert: {limit}",
                "This condition is missing or looser: {limit}",
                limit=as_limit(need),
            )
    if not _limits_within(want, right):
        yield _LOOSER_LIMITS
    if not _canonical_set(right.duties) <= _canonical_set(want.duties):
        yield _MISSING_DUTY


_WIDER_ACTION: Final = {"de": "Die Aktion reicht weiter.", "en": "The action reaches further."}
_WIDER_SCOPE: Final = {
    "de": "Die Regel gilt für andere Daten oder andere Beteiligte.",
    "en": "The rule is about other data or other parties.",
}
_LOOSER_LIMITS: Final = {
    "de": "Eine Grenze für Spalten, Gruppen, Ergebnisse, Algorithmen oder Ausgaben ist gelockert.",
    "en": "A limit on columns, groups, results, algorithms or outputs is looser.",
}
_MISSING_DUTY: Final = {"de": "Eine Pflicht fehlt.", "en": "A duty is missing."}


def _each_has_its_own(backing: Sequence[Sequence[int]]) -> bool:
    """Match every wanted permission to an offered one of its own (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(want: int, seen: set[int]) -> bool:
        for right in backing[want]:
            if right in seen:
                continue
            seen.add(right)
            if right not in taken or place(taken[right], seen):
                taken[right] = want
                return True
        return False

    return all(place(want, set()) for want in range(len(backing)))


def _limits_within(want: Permission, right: Permission) -> bool:
    """Compare what limits say together with the defaults that fill their silence."""
    queries = not includes(want.action, QUERY) or _query_within(
        query_restrictions(want), query_restrictions(right)
    )
    computations = not includes(want.action, COMPUTE) or _computation_within(
        computation_restrictions(want), computation_restrictions(right)
    )
    raw_data = not opens_raw_data(want) or opens_raw_data(right)
    kept = all(values_in(want, operand) >= values_in(right, operand) for operand in _CUMULATIVE)
    return queries and computations and raw_data and kept


def _scopes_within(narrow: AnyRule, wide: AnyRule) -> bool:
    """Tell whether a rule is about nothing, and for nobody, that another one does not reach."""
    return all(
        need is None or _canonical_scope(have) == _canonical_scope(need)
        for have, need in (
            (narrow.target, wide.target),
            (narrow.assigner, wide.assigner),
            (narrow.assignee, wide.assignee),
        )
    )


def _query_within(want: QueryRestrictions, right: QueryRestrictions) -> bool:
    return (
        _columns_within(want.columns, right.columns)
        and right.group_unit in {None, want.group_unit}
        and want.minimum_units >= right.minimum_units
        and want.minimum_rows >= right.minimum_rows
        and want.maximum_result_rows <= right.maximum_result_rows
    )


def _computation_within(want: ComputationRestrictions, right: ComputationRestrictions) -> bool:
    return (
        _columns_within(want.columns, right.columns)
        and want.algorithms <= right.algorithms
        and want.output_kinds <= right.output_kinds
        and (want.review == "manual" or right.review == "auto")
    )


def _columns_within(want: tuple[str, ...] | None, right: tuple[str, ...] | None) -> bool:
    return right is None or (want is not None and set(want) <= set(right))


def _prohibition_reasons(
    requested: Sequence[Prohibition], offered: Sequence[Prohibition]
) -> Iterator[LanguageMap]:
    for need in offered:
        if not any(_keeps(have, need) for have in requested):
            triggers = _conditions(need)
            yield sentence(
                "Ein Verbot fehlt oder ist eingeschränkt: {action}. {when}",
                "A prohibition is missing or narrower: {action}. {when}",
                action=action_name(need.action),
                when=as_trigger(triggers[0]) if triggers else "",
            )


def _keeps(have: Prohibition, need: Prohibition) -> bool:
    """Tell whether one prohibition holds whenever another one does."""
    conditions = _conditions(need)
    return (
        includes(have.action, need.action)
        and _scopes_within(need, have)
        and all(_implied(condition, conditions) for condition in _conditions(have))
        and _canonical_set(need.remedies) <= _canonical_set(have.remedies)
    )


def _obligation_reasons(requested: Sequence[Duty], offered: Sequence[Duty]) -> Iterator[LanguageMap]:
    have, need = _canonical_set(requested), _canonical_set(offered)
    if need - have:
        yield {
            "de": "Eine Verpflichtung fehlt oder ist geändert.",
            "en": "An obligation is missing or changed.",
        }
    if have - need:
        yield {
            "de": "Der Gegenvorschlag fügt eine Verpflichtung hinzu.",
            "en": "The counter-offer adds an obligation.",
        }


def _conditions(rule: Permission | Prohibition) -> tuple[AnyConstraint, ...]:
    """List the conditions of a rule; what an `and` joins counts one by one."""
    return tuple(
        part for constraint in (*rule.constraints, *rule.refinements) for part in _conjuncts(constraint)
    )


def _conjuncts(constraint: AnyConstraint) -> Iterator[AnyConstraint]:
    if isinstance(constraint, Constraint) or constraint.connective is not Connective.AND:
        yield constraint
        return
    for operand in constraint.operands:
        yield from _conjuncts(operand)


def _restricts(constraint: AnyConstraint) -> bool:
    """Tell whether a condition is compared as a limit; every other one has to be kept by itself."""
    if not isinstance(constraint, Constraint):
        return False
    return constraint.left_operand in _LIMITS or constraint.left_operand in _CUMULATIVE


def _implied(need: AnyConstraint, have: Iterable[AnyConstraint]) -> bool:
    """Tell whether conditions that hold together make another one hold, too."""
    have = tuple(have)
    if any(_implies(condition, need) for condition in have):
        return True
    if isinstance(need, Constraint) or need.connective is not Connective.OR:
        return False
    return any(_implied(operand, have) for operand in need.operands)


def _implies(have: AnyConstraint, need: AnyConstraint) -> bool:
    if _canonical(have) == _canonical(need):
        return True
    if not isinstance(have, Constraint):
        alternatives = have.connective is Connective.OR
        return alternatives and all(_implied(need, (operand,)) for operand in have.operands)
    return isinstance(need, Constraint) and _tighter(have, need)


def _tighter(have: Constraint, need: Constraint) -> bool:
    """Compare two conditions on the same left operand by what they let through."""
    if have.left_operand != need.left_operand or have.unit != need.unit:
        return False
    if have.left_operand == PURPOSE:
        return _tighter_purpose(have, need)
    comparison = _COMPARISONS.get((have.operator, need.operator))
    return comparison is not None and comparison(_values(have), _values(need))


Values = frozenset[Value | None]


def _values(constraint: Constraint) -> Values:
    known = LEFT_OPERANDS.get(constraint.left_operand)
    if known is None:
        return frozenset({None})
    return frozenset(
        read_value(known.value_type, value, constraint.data_type) for value in constraint.right_operand
    )


def _ordered(relation: Callable[[Value, Value], bool]) -> Callable[[Values, Values], bool]:
    """Compare two bounds; a bound that cannot be read is within nothing."""

    def compare(have: Values, need: Values) -> bool:
        (left, *more), (right, *others) = have, need
        if left is None or right is None or more or others or type(left) is not type(right):
            return False
        return relation(left, right)

    return compare


_AT_MOST: Final = _ordered(lambda have, need: have <= need)  # type: ignore[operator] # same type, checked
_BELOW: Final = _ordered(lambda have, need: have < need)  # type: ignore[operator] # same type, checked
_AT_LEAST: Final = _ordered(lambda have, need: have >= need)  # type: ignore[operator] # same type, checked
_ABOVE: Final = _ordered(lambda have, need: have > need)  # type: ignore[operator] # same type, checked


def _subset(have: Values, need: Values) -> bool:
    return None not in have and have <= need


def _superset(have: Values, need: Values) -> bool:
    return None not in need and have >= need


_O = Operator
_COMPARISONS: Final[dict[tuple[Operator, Operator], Callable[[Values, Values], bool]]] = {
    (_O.LTEQ, _O.LTEQ): _AT_MOST,
    (_O.LTEQ, _O.LT): _BELOW,
    (_O.LT, _O.LT): _AT_MOST,
    (_O.LT, _O.LTEQ): _AT_MOST,
    (_O.EQ, _O.LTEQ): _AT_MOST,
    (_O.EQ, _O.LT): _BELOW,
    (_O.GTEQ, _O.GTEQ): _AT_LEAST,
    (_O.GTEQ, _O.GT): _ABOVE,
    (_O.GT, _O.GT): _AT_LEAST,
    (_O.GT, _O.GTEQ): _AT_LEAST,
    (_O.EQ, _O.GTEQ): _AT_LEAST,
    (_O.EQ, _O.GT): _ABOVE,
    (_O.EQ, _O.IS_ANY_OF): _subset,
    (_O.IS_ANY_OF, _O.IS_ANY_OF): _subset,
    (_O.IS_NONE_OF, _O.IS_NONE_OF): _superset,
}
"""Which two comparisons can be compared, and how: (have, need)."""


def _tighter_purpose(have: Constraint, need: Constraint) -> bool:
    upwards = {Operator.IS_A, Operator.IS_ANY_OF}
    if have.operator in {Operator.EQ, *upwards} and need.operator in upwards:
        return all(_is_kind_of_any(mine, need.right_operand) for mine in have.right_operand)
    if have.operator is need.operator is Operator.IS_NONE_OF:
        return all(_is_kind_of_any(theirs, have.right_operand) for theirs in need.right_operand)
    return False


def _is_kind_of_any(purpose: str, wanted: Iterable[str]) -> bool:
    return any(purposes.is_a(purpose, other) is True for other in wanted)


Canonical = tuple[object, ...]


def _canonical(constraint: AnyConstraint) -> Canonical:
    """Write a condition so that equal ones compare equal, whatever their spelling."""
    if isinstance(constraint, Constraint):
        values = _values(constraint)
        if None in values:  # not of the expected type: only the same spelling is the same
            return (constraint.left_operand, constraint.operator, constraint.right_operand, constraint.unit)
        return (constraint.left_operand, constraint.operator, values, constraint.unit)
    operands = tuple(_canonical(operand) for operand in constraint.operands)
    if constraint.connective is Connective.AND_SEQUENCE:
        return (constraint.connective, operands)
    if constraint.connective is Connective.XONE:  # the same alternative twice is not the same as once
        return (constraint.connective, frozenset((part, operands.count(part)) for part in operands))
    return (constraint.connective, frozenset(operands))


def _canonical_scope(scope: Scope | None) -> Canonical | None:
    if scope is None:
        return None
    narrowed = frozenset(_canonical(part) for part in scope.refinements)
    return (scope.identifier, scope.collection, scope.source, narrowed)


def _canonical_rule(rule: AnyRule) -> Canonical:
    duties: tuple[Duty, ...]
    if isinstance(rule, Permission):
        duties = rule.duties
    else:
        duties = rule.remedies if isinstance(rule, Prohibition) else rule.consequences
    return (
        rule.action,
        tuple(_canonical_scope(scope) for scope in (rule.target, rule.assigner, rule.assignee)),
        rule.functions if isinstance(rule, Duty) else (),
        frozenset(_canonical(part) for part in rule.constraints),
        frozenset(_canonical(part) for part in rule.refinements),
        _canonical_set(duties),
    )


def _canonical_set(rules: Iterable[AnyRule]) -> frozenset[Canonical]:
    return frozenset(_canonical_rule(rule) for rule in rules)


def _canonical_policy(policy: Policy) -> Canonical:
    """Write a policy so; a permission that is stated twice counts its uses twice."""
    permissions = [_canonical_rule(rule) for rule in policy.permissions]
    return (
        _strategy(policy),
        policy.inherits,
        frozenset((rule, permissions.count(rule)) for rule in permissions),
        _canonical_set(policy.prohibitions),
        _canonical_set(policy.obligations),
    )

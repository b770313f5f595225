"""The enforcement map: what each term of a policy is worth here.

Every term is enforced (a lock, and where it is), declared (a promise of the
partner, shown as such) or refused (neither, with the reason).

Source:
    docs/policy-profile.md
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from typing import Final

from policies.actions import ACTIONS, RAW, REPRODUCE, SERVED, USE, includes
from policies.conditions import Condition, Part, conditions_of
from policies.errors import PolicyRefusedError
from policies.left_operands import (
    ASSIGNEE,
    EPSILON_PER_QUERY,
    EPSILON_TOTAL,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_CELL_DOMINANCE,
    MIN_GROUP_SIZE,
    NOISE,
    P_PERCENT,
    ROUNDING_BASE,
    LeftOperand,
    Where,
)
from policies.model import (
    AnyRule,
    Conflict,
    Constraint,
    Duty,
    LanguageMap,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.reader import KNOWN_PROFILES, SINGLE_VALUED
from policies.restrictions import values_in
from policies.values import read_value
from policies.wording import (
    action_name,
    as_condition,
    as_limit,
    as_permission,
    as_prohibition,
    as_trigger,
    enumerated,
    label,
    sentence,
    together,
    value_form,
)
from schemas.vocabulary import ODRL

__all__ = [
    "Enforcement",
    "TermUse",
    "Where",
    "classify",
    "require_enforceable",
    "stations_in_words",
]


class Enforcement(StrEnum):
    """What a term of a policy is worth."""

    ENFORCED = "enforced"
    """The software prevents the opposite."""
    DECLARED = "declared"
    """The partner promises it; nothing here can prevent the opposite."""
    REFUSED = "refused"
    """Neither: a policy with this term is not published and not accepted."""


@dataclass(frozen=True, slots=True)
class TermUse:
    """One term, where a policy uses it.

    Attributes:
        rule: Identifier of the rule, such as `permission/0`; empty for a term
            of the policy as a whole.
        term: Absolute IRI of the term.
        level: What the term is worth here.
        where: At which stations it is enforced; empty unless it is.
        statement: What it says, in German and English.
        note: What its level alone does not say: what enforcement does not
            reach, or why it is refused; None where there is nothing to add.
        within: Its place in each group of conditions that it stands in, the
            outermost one first; empty where it counts by itself. Whoever shows
            a term that stands in a group has to show the group, too
            (`policies.enforcement_map.arranged`).
    """

    rule: str
    term: str
    level: Enforcement
    where: tuple[Where, ...]
    statement: LanguageMap
    note: LanguageMap | None = None
    within: tuple[Part, ...] = ()

    @property
    def text(self) -> LanguageMap:
        """What it says, what that is joined with and what it is worth, in German and English."""
        return together((*map(_place_in_words, self.within), self.own_text))

    @property
    def own_text(self) -> LanguageMap:
        """What it says and what it is worth, for who shows the group around it."""
        return together((self.statement, *_verdict(self)))


def _place_in_words(part: Part) -> LanguageMap:
    return sentence(
        "{head}; Bedingung {position}:",
        "{head}; condition {position}:",
        head=part.head,
        position=str(part.position),
    )


def stations_in_words(where: tuple[Where, ...]) -> LanguageMap:
    """Name the stations at which a term is enforced, such as “at each access and at each release”."""
    return enumerated(tuple(_STATIONS[station] for station in where))


@dataclass(frozen=True, slots=True)
class _Worth:
    level: Enforcement
    where: tuple[Where, ...] = ()
    reason: LanguageMap | None = None


_DECLARED: Final = _Worth(Enforcement.DECLARED)

STRUCTURAL_PROHIBITIONS: Final = frozenset(
    ODRL + name for name in ("move", "modify", "append", "appendTo", "write", "writeTo")
)
"""Prohibited by construction: no path leads changes into a dataset, or takes it away from its provider."""

_STATIONS: Final[dict[Where, LanguageMap]] = {
    Where.CATALOG: {"de": "im Katalog", "en": "in the catalog"},
    Where.NEGOTIATION: {"de": "bei der Verhandlung", "en": "at negotiation"},
    Where.START: {"de": "beim Start", "en": "at start"},
    Where.ACCESS: {"de": "bei jedem Zugriff", "en": "at each access"},
    Where.RELEASE: {"de": "bei jeder Freigabe", "en": "at each release"},
    Where.AFTER: {"de": "danach", "en": "afterwards"},
}


NOISE_IS_INSTALLED: Final = find_spec("opendp") is not None
"""Whether noise can be drawn here: the extra `dp` is a part of the program, present or not."""


def classify(policy: Policy, *, noise: bool = NOISE_IS_INSTALLED) -> tuple[TermUse, ...]:
    """Say of each term of a policy what it is worth here.

    Args:
        policy: Any policy that `policies.odrl.parse_policy` reads.
        noise: Whether noise can be drawn where the policy is to be kept.

    Returns:
        One entry per term and use, in the order of the policy.
    """
    return tuple(use if noise else _without_noise(use) for use in _uses(policy))


def require_enforceable(policy: Policy, *, noise: bool = NOISE_IS_INSTALLED) -> None:
    """Refuse a policy that promises what nobody here can keep.

    Args:
        policy: The policy to publish or to accept. A declared term is a
            promise of the partner and passes.
        noise: Whether noise can be drawn where the policy is to be kept; True
            where a consumer asks, for whom the provider draws it.

    Raises:
        PolicyRefusedError: A term is refused; the error names the first one.
    """
    for use in classify(policy, noise=noise):
        if use.level is Enforcement.REFUSED:
            raise PolicyRefusedError(use.term, use.text)


def _without_noise(use: TermUse) -> TermUse:
    if use.term not in NOISE or use.level is not Enforcement.ENFORCED:
        return use
    return replace(use, level=Enforcement.REFUSED, where=(), note=_NOT_INSTALLED)


_NOT_INSTALLED: Final[LanguageMap] = {
    "de": "Hier kann kein Rauschen gezogen werden; installieren Sie allmende[dp].",
    "en": "No noise can be drawn here; install allmende[dp].",
}


def _uses(policy: Policy) -> Iterator[TermUse]:
    yield from _policy_uses(policy)
    if policy.assignee is not None:
        worth = _Worth(Enforcement.ENFORCED, (Where.NEGOTIATION, Where.START, Where.ACCESS, Where.RELEASE))
        text = sentence("Nur für {assignee}.", "Only for {assignee}.", assignee=policy.assignee)
        yield _use("", ASSIGNEE, worth, text)
    for permission in policy.permissions:
        yield from _permission_uses(permission)
    for prohibition in policy.prohibitions:
        yield from _prohibition_uses(prohibition)
    for position, obligation in enumerate(policy.obligations):
        yield from _promise_uses(f"obligation/{position}", obligation)


def _policy_uses(policy: Policy) -> Iterator[TermUse]:
    """Refuse what a whole policy says and nobody here keeps."""
    for profile in policy.profiles:
        if profile not in KNOWN_PROFILES:
            text = sentence("Profil {profile}.", "Profile {profile}.", profile=profile)
            yield _use("", profile, _refused_term(profile), text)
    if policy.conflict not in {None, Conflict.PROHIBIT}:
        text = sentence("Bei Konflikten: {conflict}.", "In a conflict: {conflict}.", conflict=policy.conflict)
        yield _use("", ODRL + "conflict", _Worth(Enforcement.REFUSED, (), _PROHIBITION_WINS), text)
    for parent in policy.inherits:
        text = sentence("Übernimmt Regeln aus {parent}.", "Takes over the rules of {parent}.", parent=parent)
        yield _use("", ODRL + "inheritFrom", _Worth(Enforcement.REFUSED, (), _NOT_FLATTENED), text)


def _scope_uses(name: str, rule: AnyRule) -> Iterator[TermUse]:
    """Refuse a rule that is about another dataset or another party than its policy."""
    for term, scope in (("target", rule.target), ("assigner", rule.assigner), ("assignee", rule.assignee)):
        if scope is not None:
            shown = scope.identifier or scope.source or "-"
            text = sentence("Nur für {shown}.", "Only for {shown}.", shown=shown)
            reason = _COLLECTION if scope.collection or scope.refinements else _ONE_SCOPE
            yield _use(name, ODRL + term, _Worth(Enforcement.REFUSED, (), reason), text)
            if scope.refinements:
                yield from _narrowing_uses(name, term, scope)


def _narrowing_uses(name: str, term: str, scope: Scope) -> Iterator[TermUse]:
    """Refuse what narrows a collection, term by term."""
    for condition in conditions_of(f"{name}/{term}", Duty("", refinements=scope.refinements)):
        part = condition.comparison
        worth = _Worth(Enforcement.REFUSED, (), _COLLECTION)
        if part.left_operand not in LEFT_OPERANDS:
            worth = _refused_term(part.left_operand)
        yield _use(name, part.left_operand, worth, as_condition(part), condition.within)


_PROHIBITION_WINS: Final[LanguageMap] = {
    "de": "Ein Verbot geht hier immer vor; schreiben Sie „prohibit“ oder nichts.",
    "en": "A prohibition always wins here; write “prohibit” or nothing.",
}
_NOT_FLATTENED: Final[LanguageMap] = {
    "de": "Ein Vertrag muss alle seine Regeln selbst enthalten.",
    "en": "A policy has to contain all of its rules itself.",
}
_COLLECTION: Final[LanguageMap] = {
    "de": "Wer oder was zu einer Sammlung gehört, ist hier nicht bekannt; nennen Sie jeden einzeln.",
    "en": "Who or what belongs to a collection is not known here; name each one.",
}
_ONE_SCOPE: Final[LanguageMap] = {
    "de": "Alle Regeln eines Vertrags müssen für denselben Datensatz und dieselben Partner gelten.",
    "en": "All rules of a policy must be about the same dataset and the same parties.",
}


def _permission_uses(permission: Permission) -> Iterator[TermUse]:
    yield from _scope_uses(permission.identifier, permission)
    worth = _worth_of_permitting(permission.action)
    yield _use(permission.identifier, permission.action, worth, as_permission(permission.action))
    for condition in conditions_of(permission.identifier, permission):
        limit = _worth_in_permission(condition, permission.action)
        part = condition.comparison
        yield _use(permission.identifier, part.left_operand, limit, as_limit(part), condition.within)
    yield from _second_values(permission)
    yield from _noise_uses(permission)
    for position, duty in enumerate(permission.duties):
        for use in _promise_uses(f"{permission.identifier}/duty/{position}", duty):
            refused = use.level is Enforcement.REFUSED
            yield use if refused else replace(use, level=Enforcement.REFUSED, note=_NO_PRECONDITION)


_ONE_VALUE: Final[Mapping[str, LanguageMap]] = {
    GROUP_UNIT: {
        "de": "Es darf nur eine Zähleinheit geben.",
        "en": "There may be only one unit of counting.",
    },
    ROUNDING_BASE: {"de": "Es darf nur eine Rundung geben.", "en": "There may be only one rounding."},
}


def _second_values(permission: Permission) -> Iterator[TermUse]:
    """Refuse a second value where both could not hold: a group has one size, a number one rounding."""
    for term, reason in _ONE_VALUE.items():
        values = values_in(permission, term)
        if len(values) > 1:
            listed = ", ".join(sorted(values))
            text = sentence("{label}: {listed}.", "{label}: {listed}.", label=label(term), listed=listed)
            yield _use(permission.identifier, term, _Worth(Enforcement.REFUSED, (), reason), text)


def _noise_uses(permission: Permission) -> Iterator[TermUse]:
    """Refuse noise that lacks a part, or stands beside a check of exact figures, which would tell of them."""
    if not any(values_in(permission, term) for term in NOISE):
        return
    for needed in (EPSILON_PER_QUERY, EPSILON_TOTAL, GROUP_UNIT):
        if not values_in(permission, needed):
            yield _beside_noise(
                permission,
                needed,
                "Rauschen verlangt auch eine Angabe zu „{label}“.",
                "Noise needs a statement of “{label}” as well.",
            )
    for exact in (MIN_GROUP_SIZE, MAX_CELL_DOMINANCE, P_PERCENT, ROUNDING_BASE):
        if values_in(permission, exact):
            yield _beside_noise(
                permission,
                exact,
                "„{label}“ prüft genaue Werte und würde neben dem Rauschen etwas über sie verraten.",
                "“{label}” checks exact figures, which beside noise would tell something about them.",
            )


def _beside_noise(permission: Permission, term: str, de: str, en: str) -> TermUse:
    text = sentence("{label}.", "{label}.", label=label(term))
    return _use(permission.identifier, term, _refused(de, en, label=label(term)), text)


def _prohibition_uses(prohibition: Prohibition) -> Iterator[TermUse]:
    yield from _scope_uses(prohibition.identifier, prohibition)
    conditions = conditions_of(prohibition.identifier, prohibition)
    worth = _worth_of_prohibiting(prohibition)
    if worth.level is Enforcement.ENFORCED and any(map(_is_promised, conditions)):
        worth = _DECLARED
    yield _use(prohibition.identifier, prohibition.action, worth, as_prohibition(prohibition.action))
    for condition in conditions:
        limit = _worth_in_prohibition(condition.comparison, prohibition.action, worth)
        yield _trigger(prohibition.identifier, condition, limit)
    for position, remedy in enumerate(prohibition.remedies):
        yield from _promise_uses(f"{prohibition.identifier}/remedy/{position}", remedy)


def _is_promised(condition: Condition) -> bool:
    """Tell whether nobody here can see if a condition holds."""
    operand = LEFT_OPERANDS.get(condition.comparison.left_operand)
    return operand is not None and operand.declared


def _trigger(rule: str, condition: Condition, worth: _Worth) -> TermUse:
    """Say when a prohibition or a duty holds; the head of a group says so for all of its conditions."""
    said = as_condition if condition.within else as_trigger
    part = condition.comparison
    return _use(rule, part.left_operand, worth, said(part), condition.within)


def _promise_uses(rule: str, duty: Duty) -> Iterator[TermUse]:
    """Classify what a partner promises to do: nothing here can make them do it."""
    yield from _scope_uses(rule, duty)
    text = sentence("Zu tun: {action}.", "To do: {action}.", action=action_name(duty.action))
    worth = _DECLARED if duty.action in ACTIONS else _refused_term(duty.action)
    yield _use(rule, duty.action, worth, text)
    for function, party in duty.functions:
        text = sentence("Beteiligt ist {party}.", "Involved is {party}.", party=party)
        yield _use(rule, function, _DECLARED, text)
    for condition in conditions_of(rule, duty):
        yield _trigger(rule, condition, _worth_in_promise(condition.comparison))
    for position, consequence in enumerate(duty.consequences):
        yield from _promise_uses(f"{rule}/consequence/{position}", consequence)


_NO_PRECONDITION: Final[LanguageMap] = {
    "de": "Ob eine Pflicht vor der Nutzung erfüllt ist, kann hier nicht geprüft werden; "
    "schreiben Sie sie als Obligation.",
    "en": "Nobody here can check whether a duty was met before a use; write it as an obligation.",
}


def _worth_of_permitting(action: str) -> _Worth:
    if action in SERVED or action == USE:
        return _Worth(Enforcement.ENFORCED, _OFFERED_RAW if includes(action, REPRODUCE) else _OFFERED)
    return _refused(
        "Erlauben lassen sich nur Abfragen, Berechnungen und die Herausgabe der Rohdaten (reproduce).",
        "Only queries, computations and the delivery of raw data (reproduce) can be permitted.",
    )


_OFFERED: Final = (Where.CATALOG, Where.ACCESS)
"""Where a permission counts: the catalog only offers the formats of what is permitted."""
_OFFERED_RAW: Final = (Where.CATALOG, Where.START, Where.ACCESS)
"""Where raw data are held back: their formats are not offered, and no transfer of them starts."""


def _worth_of_prohibiting(prohibition: Prohibition) -> _Worth:
    action = prohibition.action
    # As policies.restrictions.offers_raw_data: what depends on a condition is decided with each access.
    if not (prohibition.constraints or prohibition.refinements) and any(includes(action, raw) for raw in RAW):
        return _Worth(Enforcement.ENFORCED, _OFFERED_RAW)
    if action in STRUCTURAL_PROHIBITIONS or any(includes(action, served) for served in (*SERVED, *RAW)):
        return _Worth(Enforcement.ENFORCED, (Where.ACCESS,))
    return _DECLARED if action in ACTIONS else _refused_term(action)


def _worth_in_permission(condition: Condition, action: str) -> _Worth:
    constraint, optional = condition.comparison, condition.optional
    worth = _worth_of_comparison(constraint)
    operand = LEFT_OPERANDS.get(constraint.left_operand)
    if worth.level is Enforcement.REFUSED or operand is None:
        return worth
    if optional and operand.declared:
        return _refused(
            "Eine Zusage kann keine Bedingung ersetzen; sie darf nicht in „or“ oder „xone“ stehen.",
            "A promise cannot stand in for a condition; it must not stand inside “or” or “xone”.",
        )
    if not any(includes(action, served) for served in operand.actions):
        return _refused(
            "Das wird bei der Aktion „{action}“ nicht durchgesetzt.",
            "This is not enforced for the action “{action}”.",
            action=action_name(action),
        )
    if optional and (operand.restricts or operand.counted):
        return _refused(
            "Eine Grenze gilt immer; sie darf nicht in „or“ oder „xone“ stehen.",
            "A limit always holds; it must not stand inside “or” or “xone”.",
        )
    return worth


def _worth_in_prohibition(constraint: Constraint, action: str, rule: _Worth) -> _Worth:
    if rule.level is Enforcement.DECLARED:
        return _worth_in_promise(constraint)
    worth = _worth_of_comparison(constraint)
    operand = LEFT_OPERANDS.get(constraint.left_operand)
    if worth.level is Enforcement.REFUSED or operand is None:
        return worth
    if operand.restricts or operand.counted:
        return _refused(
            "Eine Grenze gehört in die Erlaubnis, nicht in ein Verbot.",
            "A limit belongs in the permission, not in a prohibition.",
        )
    if action in STRUCTURAL_PROHIBITIONS and worth.level is Enforcement.ENFORCED:
        return _Worth(Enforcement.ENFORCED, (Where.ACCESS,))
    return worth


def _worth_in_promise(constraint: Constraint) -> _Worth:
    worth = _worth_of_comparison(constraint)
    return _DECLARED if worth.level is Enforcement.ENFORCED else worth


def _worth_of_comparison(constraint: Constraint) -> _Worth:
    operand = LEFT_OPERANDS.get(constraint.left_operand)
    if operand is None:
        return _refused_term(constraint.left_operand)
    objection = _objection(constraint, operand)
    if objection is not None:
        return objection
    if operand.declared:
        return _DECLARED
    return _Worth(Enforcement.ENFORCED, operand.stations[constraint.operator])


def _objection(constraint: Constraint, operand: LeftOperand) -> _Worth | None:
    """Say why a comparison is refused on every action; None where it is not."""
    if not operand.stations:
        return _not_measured(constraint.left_operand, operand)
    if constraint.operator not in operand.stations:
        return _refused(
            "Der Operator {operator} kann mit {term} nicht durchgesetzt werden; möglich: {possible}.",
            "The operator {operator} cannot be enforced with {term}; possible: {possible}.",
            operator=constraint.operator.value,
            term=constraint.left_operand,
            possible=_possible(operand),
        )
    if constraint.unit is not None:
        return _refused(
            "Zu {term} gehört keine Maßeinheit.",
            "There is no unit of measure for {term}.",
            term=constraint.left_operand,
        )
    if constraint.operator in SINGLE_VALUED and len(constraint.right_operand) != 1:
        return _refused(
            "Der Operator {operator} von {term} verlangt genau einen Wert.",
            "The operator {operator} of {term} takes exactly one value.",
            operator=constraint.operator.value,
            term=constraint.left_operand,
        )
    if not all(_is_valid(value, operand, constraint) for value in constraint.right_operand):
        return _refused(
            "Ein Wert von {term} ist ungültig; verlangt ist: {hint}.",
            "A value of {term} is not valid; required is: {hint}.",
            term=constraint.left_operand,
            hint=_wanted(operand),
        )
    return None


def _is_valid(value: str, operand: LeftOperand, constraint: Constraint) -> bool:
    readable = read_value(operand.value_type, value, constraint.data_type) is not None
    chosen = not operand.choices or value in operand.choices
    return readable and chosen and (operand.form is None or bool(operand.form.pattern.fullmatch(value)))


def _wanted(operand: LeftOperand) -> LanguageMap | str:
    if operand.form is not None:
        return operand.form.hint
    return ", ".join(sorted(operand.choices)) or value_form(operand.value_type)


def _not_measured(term: str, operand: LeftOperand) -> _Worth:
    if operand.reason is not None:
        return _Worth(Enforcement.REFUSED, (), operand.reason)
    return _refused(
        "Der linke Operand {term} kann hier nicht gemessen werden.",
        "The left operand {term} cannot be measured here.",
        term=term,
    )


def _possible(operand: LeftOperand) -> str:
    return ", ".join(operator.value for operator in operand.stations)


def _refused(de: str, en: str, **values: LanguageMap | str) -> _Worth:
    return _Worth(Enforcement.REFUSED, (), sentence(de, en, **values))


def _refused_term(term: str) -> _Worth:
    return _refused("Der Ausdruck {term} ist unbekannt.", "The term {term} is unknown.", term=term)


def _use(
    rule: str, term: str, worth: _Worth, statement: LanguageMap, within: tuple[Part, ...] = ()
) -> TermUse:
    remark = LEFT_OPERANDS[term].remark if term in LEFT_OPERANDS else None
    note = worth.reason if worth.level is Enforcement.REFUSED else remark
    return TermUse(rule, term, worth.level, worth.where, statement, note, within)


def _verdict(use: TermUse) -> Iterator[LanguageMap]:
    note = use.note or {"de": "", "en": ""}
    if use.level is Enforcement.REFUSED:
        yield sentence(
            "Abgelehnt ({term}): {reason}", "Refused ({term}): {reason}", term=use.term, reason=note
        )
        return
    if use.level is Enforcement.DECLARED:
        yield _A_PROMISE
    else:
        where = stations_in_words(use.where)
        yield sentence("Technisch durchgesetzt {where}.", "Enforced by technology {where}.", where=where)
    if use.note is not None:
        yield use.note


_A_PROMISE: Final[LanguageMap] = {
    "de": "Zusage des Partners; technisch nicht erzwungen.",
    "en": "A promise of the partner; not enforced by technology.",
}

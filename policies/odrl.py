"""Policies as compact DSP JSON: read strictly, written plainly.

Terms may be written without a prefix, with `odrl:` or as full IRIs, and every
property may hold one value or an array. What is unknown is refused by name,
never dropped: a term that a reader skips is a condition that nobody keeps.

Two properties of ODRL are narrower here than in the Recommendation, and their
wider use is refused: all rules of a policy share one target, one assigner and
one assignee, and a prohibition always wins (`conflict` may only be `prohibit`).
Policies that inherit, refer to a right operand elsewhere or apply to
collections are refused.

Source:
    ODRL Information Model 2.2; DSP 2025-1, contract-schema.json.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.actions import ACTIONS
from policies.compact import (
    IDENTITY,
    array,
    literal,
    members_of,
    objects,
    one_reference,
    optional_term,
    reference,
    refusal,
    shown_shortly,
    term_of,
    text,
)
from policies.errors import PolicyRefusedError
from policies.left_operands import LEFT_OPERANDS, LeftOperand
from policies.model import (
    AnyConstraint,
    Connective,
    Constraint,
    Duty,
    LanguageMap,
    LogicalConstraint,
    Operator,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
)
from policies.values import ValueType, read_value
from policies.wording import sentence
from schemas.vocabulary import ODRL, POLICY_PROFILE

KNOWN_PROFILES: Final = frozenset({POLICY_PROFILE})
MAXIMUM_RULES: Final = 100
MAXIMUM_CONSTRAINTS: Final = 1_000
MAXIMUM_NESTING: Final = 16

_RDF_VALUE: Final = ("rdf:value", "http://www.w3.org/1999/02/22-rdf-syntax-ns#value")
_SINGLE_VALUED: Final = frozenset(
    {
        Operator.EQ,
        Operator.NEQ,
        Operator.LT,
        Operator.LTEQ,
        Operator.GT,
        Operator.GTEQ,
        Operator.IS_A,
        Operator.HAS_PART,
        Operator.IS_PART_OF,
    }
)

_PARTIES: Final = frozenset({"target", "assigner", "assignee"})
_POLICY_KEYS: Final = (
    IDENTITY
    | _PARTIES
    | {
        "@context",
        "profile",
        "action",
        "permission",
        "prohibition",
        "obligation",
        "conflict",
        "timestamp",
    }
)
_RULE_KEYS: Final = IDENTITY | _PARTIES | {"action", "constraint"}
_CONSTRAINT_KEYS: Final = IDENTITY | {"leftOperand", "operator", "rightOperand", "dataType", "unit"}
_CONNECTIVES: Final[Mapping[str, Connective]] = {connective.value: connective for connective in Connective}
_OPERATORS: Final[Mapping[str, Operator]] = {operator.value: operator for operator in Operator}


def parse_policy(document: Mapping[str, object], *, default_target: str | None = None) -> Policy:
    """Read a policy from compact DSP JSON.

    Args:
        document: The policy: a Set, an Offer or an Agreement.
        default_target: What the policy is about where it does not say so
            itself, as an offer in a catalog must not.

    Returns:
        The policy, normalised: one action per rule, absolute IRIs for terms.

    Raises:
        PolicyRefusedError: A profile, action, operator, left operand, value
            or property is unknown or malformed, or the policy is too large;
            the error names the term.
    """
    return _Reader().policy(document, default_target)


@dataclass(slots=True)
class _Reader:
    """Reads one policy and counts what it has read against the limits."""

    rules: int = 0
    constraints: int = 0

    def policy(self, document: Mapping[str, object], default_target: str | None) -> Policy:
        members = members_of(document, _POLICY_KEYS, annotated=True)
        _check_context(members.get("@context"))
        _check_conflict(members.get("conflict"))
        permissions = tuple(self.permissions(members))
        prohibitions = tuple(self.prohibitions(members))
        obligations = tuple(self.obligations(members))
        if not (permissions or prohibitions or obligations):
            raise refusal("permission", "Eine Regel fehlt ({term}).", "The policy has no rule ({term}).")
        parties = _parties(members)
        policy = Policy(
            kind=_kind(members.get("@type")),
            uid=_uid(members),
            target=_target(parties.get("target"), default_target),
            assigner=parties.get("assigner"),
            assignee=parties.get("assignee"),
            profiles=_profiles(members.get("profile")),
            permissions=permissions,
            prohibitions=prohibitions,
            obligations=obligations,
        )
        _require_parties(policy)
        return policy

    def permissions(self, policy: Mapping[str, object]) -> Iterator[Permission]:
        position = 0
        for rule in objects(policy.get("permission"), "permission"):
            members = members_of(rule, _RULE_KEYS | {"duty"})
            _check_rule_type(members, "Permission")
            constraints = self.constraint_list(members.get("constraint"))
            duties = tuple(self.duties(members.get("duty"), "duty"))
            for action, refinements in self.actions(members, policy):
                yield Permission(f"permission/{position}", action, constraints, refinements, duties)
                position += 1

    def prohibitions(self, policy: Mapping[str, object]) -> Iterator[Prohibition]:
        position = 0
        for rule in objects(policy.get("prohibition"), "prohibition"):
            members = members_of(rule, _RULE_KEYS | {"remedy"})
            _check_rule_type(members, "Prohibition")
            constraints = self.constraint_list(members.get("constraint"))
            remedies = tuple(self.duties(members.get("remedy"), "remedy"))
            for action, refinements in self.actions(members, policy):
                yield Prohibition(f"prohibition/{position}", action, constraints, refinements, remedies)
                position += 1

    def obligations(self, policy: Mapping[str, object]) -> Iterator[Duty]:
        # A remedy has no consequence of its own; the model keeps the wider shape of a duty.
        yield from self.duties(policy.get("obligation"), "obligation", policy=policy)

    def duties(
        self, value: object, term: str, *, policy: Mapping[str, object] | None = None, depth: int = 1
    ) -> Iterator[Duty]:
        _check_depth(depth, term)
        for rule in objects(value, term):
            members = members_of(rule, _RULE_KEYS | ({"consequence"} if term != "remedy" else set()))
            _check_rule_type(members, "Duty")
            constraints = self.constraint_list(members.get("constraint"))
            consequences = tuple(self.duties(members.get("consequence"), "consequence", depth=depth + 1))
            for action, refinements in self.actions(members, policy or {}):
                yield Duty(action, constraints, refinements, consequences)

    def actions(
        self, rule: Mapping[str, object], policy: Mapping[str, object]
    ) -> Iterator[tuple[str, tuple[AnyConstraint, ...]]]:
        """Yield each action of a rule with its refinements: one atomic rule each."""
        stated = array(rule.get("action", policy.get("action")))
        if not stated:
            raise refusal(
                "action", "Einer Regel fehlt die Aktion ({term}).", "A rule has no action ({term})."
            )
        for value in stated:
            self.rules += 1
            if self.rules > MAXIMUM_RULES:
                raise _size_refusal("permission", MAXIMUM_RULES, {"de": "Regeln", "en": "rules"})
            yield self.action(value)

    def action(self, value: object) -> tuple[str, tuple[AnyConstraint, ...]]:
        refinements: tuple[AnyConstraint, ...] = ()
        if isinstance(value, Mapping):
            members = members_of(value, frozenset({"@id", "@type", "refinement", *_RDF_VALUE}))
            refinements = self.constraint_list(members.get("refinement"))
            value = next((members[key] for key in ("@id", *_RDF_VALUE) if key in members), None)
        action = term_of(value, "action")
        if action not in ACTIONS:
            raise refusal(action, "Die Aktion {term} ist unbekannt.", "The action {term} is unknown.")
        return action, refinements

    def constraint_list(self, value: object) -> tuple[AnyConstraint, ...]:
        return tuple(self.constraint(member, 1) for member in objects(value, "constraint"))

    def constraint(self, value: Mapping[str, object], depth: int) -> AnyConstraint:
        self.constraints += 1
        if self.constraints > MAXIMUM_CONSTRAINTS:
            raise _size_refusal("constraint", MAXIMUM_CONSTRAINTS, {"de": "Bedingungen", "en": "constraints"})
        _check_depth(depth, "constraint")
        members = members_of(value, _CONSTRAINT_KEYS | _CONNECTIVES.keys())
        connectives = [name for name in members if name in _CONNECTIVES]
        if connectives:
            return self.logical(members, connectives[0], depth)
        return _comparison(members)

    def logical(self, members: Mapping[str, object], connective: str, depth: int) -> LogicalConstraint:
        if not members.keys() <= IDENTITY | {connective}:
            raise refusal(
                connective,
                "Neben {term} darf in derselben Bedingung nichts anderes stehen.",
                "Nothing else may stand beside {term} in the same constraint.",
            )
        operands = tuple(
            self.constraint(operand, depth + 1) for operand in objects(members[connective], connective)
        )
        if not operands:
            raise refusal(connective, "{term} ist leer.", "{term} is empty.")
        return LogicalConstraint(_CONNECTIVES[connective], operands)


def _comparison(members: Mapping[str, object]) -> Constraint:
    left_operand = term_of(members.get("leftOperand"), "leftOperand")
    known = LEFT_OPERANDS.get(left_operand)
    if known is None:
        raise refusal(
            left_operand,
            "Der linke Operand {term} ist unbekannt.",
            "The left operand {term} is unknown.",
        )
    operator = _operator(members.get("operator"))
    values, data_type = _right_operand(members, left_operand)
    _check_values(left_operand, known, operator, values, data_type)
    return Constraint(left_operand, operator, values, data_type, optional_term(members.get("unit"), "unit"))


def _check_values(
    left_operand: str, known: LeftOperand, operator: Operator, values: tuple[str, ...], data_type: str | None
) -> None:
    if not values or (operator in _SINGLE_VALUED and len(values) > 1):
        raise refusal(
            left_operand,
            "Der Operator {operator} von {term} verlangt genau einen Wert.",
            "The operator {operator} of {term} takes exactly one value.",
            operator=operator.value,
        )
    for value in values:
        if read_value(known.value_type, value, data_type) is None:
            raise _value_refusal(left_operand, value, known.value_type)
        if known.choices and value not in known.choices:
            raise refusal(
                left_operand,
                "Der Wert „{value}“ von {term} ist unbekannt; möglich: {choices}.",
                "The value “{value}” of {term} is unknown; possible: {choices}.",
                value=shown_shortly(value),
                choices=", ".join(sorted(known.choices)),
            )


def _value_refusal(left_operand: str, value: str, value_type: ValueType) -> PolicyRefusedError:
    hint = "2027-12-31T23:59:59Z" if value_type is ValueType.DATE_TIME else value_type.value
    return refusal(
        left_operand,
        "Der Wert „{value}“ von {term} ist ungültig; verlangt ist: {hint}.",
        "The value “{value}” of {term} is not valid; required is: {hint}.",
        value=shown_shortly(value),
        hint=hint,
    )


def _right_operand(members: Mapping[str, object], left_operand: str) -> tuple[tuple[str, ...], str | None]:
    stated = members.get("rightOperand")
    if isinstance(stated, Mapping) and "@list" in stated:
        stated = members_of(stated, frozenset({"@list"}))["@list"]
    values = [literal(value, left_operand) for value in array(stated)]
    declared = optional_term(members.get("dataType"), "dataType")
    data_types = {data_type for _, data_type in values} | ({declared} if declared else set())
    data_types -= {None} if declared else set()
    if len(data_types) > 1:
        raise refusal(
            left_operand, "Die Werte von {term} mischen Datentypen.", "The values of {term} mix datatypes."
        )
    return tuple(lexical for lexical, _ in values), next(iter(data_types), None)


def _operator(value: object) -> Operator:
    term = term_of(value, "operator")
    operator = _OPERATORS.get(term.removeprefix(ODRL)) if term.startswith(ODRL) else None
    if operator is None:
        raise refusal(term, "Der Operator {term} ist unbekannt.", "The operator {term} is unknown.")
    return operator


def _kind(value: object) -> PolicyKind:
    terms = [term_of(member, "@type") for member in array(value)] or [ODRL + "Set"]
    names = [term.removeprefix(ODRL) for term in terms if term != ODRL + "Policy"] or ["Set"]
    for kind in PolicyKind:
        if names == [kind.value]:
            return kind
    raise refusal(
        terms[0],
        "Die Art {term} ist unbekannt; möglich: Set, Offer, Agreement.",
        "The kind {term} is unknown; possible: Set, Offer, Agreement.",
    )


def _uid(members: Mapping[str, object]) -> str:
    if "@id" in members and "uid" in members:
        raise refusal("uid", "{term} ist zweimal angegeben.", "{term} is stated twice.")
    return text(members.get("@id", members.get("uid")), "@id")


def _profiles(value: object) -> tuple[str, ...]:
    profiles = tuple(reference(member, "profile") for member in array(value))
    for profile in profiles:
        if profile not in KNOWN_PROFILES:
            raise refusal(profile, "Das Profil {term} ist unbekannt.", "The profile {term} is unknown.")
    return profiles


def _parties(policy: Mapping[str, object]) -> dict[str, str]:
    """Find the one target, assigner and assignee that every rule shares."""
    rules = [
        members_of(rule, None)
        for name in ("permission", "prohibition", "obligation")
        for rule in objects(policy.get(name), name)
    ]
    nested = [duty for rule in rules for duty in _nested(rule)]
    found = {}
    for party in sorted(_PARTIES):
        whole = one_reference(policy.get(party), party)
        stated = {one_reference(rule.get(party), party) or whole for rule in rules}
        stated |= {one_reference(duty[party], party) for duty in nested if party in duty}
        if len(stated) > 1 or (whole is not None and stated != {whole}):
            raise refusal(
                party,
                "Alle Regeln müssen denselben Wert für {term} haben; teilen Sie den Vertrag auf.",
                "All rules must have the same {term}; split the policy.",
            )
        value = next(iter(stated))
        if value is not None:
            found[party] = value
    return found


def _nested(rule: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for name in ("duty", "remedy", "consequence"):
        for duty in objects(rule.get(name), name):
            members = members_of(duty, None)
            yield members
            yield from _nested(members)


def _target(stated: str | None, default: str | None) -> str | None:
    if stated is not None and default is not None and stated != default:
        raise refusal(
            "target",
            "Der Vertrag gilt für einen anderen Datensatz ({term}: {stated}).",
            "The policy is about another dataset ({term}: {stated}).",
            stated=shown_shortly(stated),
        )
    return default if stated is None else stated


def _require_parties(policy: Policy) -> None:
    if policy.kind is not PolicyKind.AGREEMENT:
        return
    for name, value in (
        ("target", policy.target),
        ("assigner", policy.assigner),
        ("assignee", policy.assignee),
    ):
        if value is None:
            raise refusal(name, "Der Vereinbarung fehlt {term}.", "The agreement has no {term}.")


def _check_context(value: object) -> None:
    if not all(isinstance(member, str) for member in array(value)):
        raise refusal(
            "@context",
            "Ein eigener {term} kann Wörter umdeuten und ist nicht erlaubt.",
            "An inline {term} can redefine words and is not permitted.",
        )


def _check_conflict(value: object) -> None:
    if value is not None and term_of(value, "conflict") != ODRL + "prohibit":
        raise refusal(
            "conflict",
            "{term} darf nur „prohibit“ sein: ein Verbot geht hier immer vor.",
            "{term} may only be “prohibit”: a prohibition always wins here.",
        )


def _check_rule_type(members: Mapping[str, object], name: str) -> None:
    for value in array(members.get("@type")):
        term = term_of(value, "@type")
        if term not in {ODRL + name, ODRL + "Rule"}:
            raise refusal(
                term,
                "{term} steht an einer Stelle für {name}.",
                "{term} stands in a place for {name}.",
                name=name,
            )


def _check_depth(depth: int, term: str) -> None:
    if depth > MAXIMUM_NESTING:
        raise refusal(
            term,
            "{term} ist tiefer als {limit} Ebenen verschachtelt.",
            "{term} is nested deeper than {limit} levels.",
            limit=str(MAXIMUM_NESTING),
        )


def _size_refusal(term: str, limit: int, what: LanguageMap) -> PolicyRefusedError:
    return PolicyRefusedError(
        term,
        sentence(
            "Der Vertrag hat mehr als {limit} {what}.",
            "The policy has more than {limit} {what}.",
            limit=str(limit),
            what=what,
        ),
    )


def write_rules(policy: Policy) -> dict[str, object]:
    """Write the rules of a policy as compact DSP JSON.

    Args:
        policy: The policy.

    Returns:
        `permission`, `prohibition` and `obligation`, each where there is one:
        ODRL's terms by their short names, ours by their full IRIs. An action
        is a plain text, as DSP wants it, unless it is refined.
    """
    rules: dict[str, object] = {}
    if policy.permissions:
        rules["permission"] = [_written_permission(rule) for rule in policy.permissions]
    if policy.prohibitions:
        rules["prohibition"] = [_written_prohibition(rule) for rule in policy.prohibitions]
    if policy.obligations:
        rules["obligation"] = [_written_duty(duty) for duty in policy.obligations]
    return rules


def write_policy(policy: Policy) -> dict[str, object]:
    """Write a whole policy as compact DSP JSON; `parse_policy` reads the same policy again."""
    document: dict[str, object] = {"@type": policy.kind.value, "@id": policy.uid}
    if policy.profiles:
        document["profile"] = list(policy.profiles)
    parties = {"target": policy.target, "assigner": policy.assigner, "assignee": policy.assignee}
    document.update({name: value for name, value in parties.items() if value is not None})
    return {**document, **write_rules(policy)}


def _written_permission(rule: Permission) -> dict[str, object]:
    written = _written_rule(rule)
    if rule.duties:
        written["duty"] = [_written_duty(duty) for duty in rule.duties]
    return written


def _written_prohibition(rule: Prohibition) -> dict[str, object]:
    written = _written_rule(rule)
    if rule.remedies:
        written["remedy"] = [_written_duty(duty) for duty in rule.remedies]
    return written


def _written_duty(duty: Duty) -> dict[str, object]:
    written = _written_rule(duty)
    if duty.consequences:
        written["consequence"] = [_written_duty(consequence) for consequence in duty.consequences]
    return written


def _written_rule(rule: Permission | Prohibition | Duty) -> dict[str, object]:
    action = rule.action.removeprefix(ODRL)
    written: dict[str, object] = {"action": action}
    if rule.refinements:
        written["action"] = {"@id": action, "refinement": [_written(part) for part in rule.refinements]}
    if rule.constraints:
        written["constraint"] = [_written(part) for part in rule.constraints]
    return written


def _written(constraint: AnyConstraint) -> dict[str, object]:
    if isinstance(constraint, LogicalConstraint):
        return {constraint.connective.value: [_written(operand) for operand in constraint.operands]}
    values = [_written_value(value, constraint.data_type) for value in constraint.right_operand]
    written: dict[str, object] = {
        "leftOperand": constraint.left_operand.removeprefix(ODRL),
        "operator": constraint.operator.value,
        "rightOperand": values[0] if constraint.operator in _SINGLE_VALUED else values,
    }
    if constraint.unit is not None:
        written["unit"] = constraint.unit
    return written


def _written_value(value: str, data_type: str | None) -> object:
    return value if data_type is None else {"@value": value, "@type": data_type}

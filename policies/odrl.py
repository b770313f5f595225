"""Policies as compact DSP JSON: what travels is read strictly and written plainly.

`parse_policy` reads what connectors exchange, and is narrower than ODRL: all
rules of a policy share one target, one assigner and one assignee, a prohibition
always wins (`conflict` may only be `prohibit`), every value must be of the type
of its left operand, and policies that inherit, refer to a value elsewhere or
apply to collections are refused. `read_policy` reads all of ODRL 2.2, for
`policies.evaluation.assess`. Neither says that a policy can be enforced:
`policies.terms` does.

Source:
    ODRL Information Model 2.2; DSP 2025-1, contract-schema.json.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from policies.actions import ANY_ACTION
from policies.compact import refusal, shown_shortly
from policies.model import (
    AnyConstraint,
    AnyRule,
    Duty,
    LogicalConstraint,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
    Scope,
)
from policies.reader import ROLES, SINGLE_VALUED, Reader
from policies.reading import KNOWN_PROFILES, WIRE, Limits, Profile, Reading
from schemas.vocabulary import ODRL

__all__ = [
    "KNOWN_PROFILES",
    "Limits",
    "Profile",
    "Reading",
    "parse_policy",
    "read_policy",
    "write_policy",
    "write_rules",
]


def parse_policy(document: Mapping[str, object], *, default_target: str | None = None) -> Policy:
    """Read a policy from compact DSP JSON, as connectors exchange it.

    Args:
        document: The policy: a Set, an Offer or an Agreement.
        default_target: What the policy is about where it does not say so
            itself, as an offer in a catalog must not.

    Returns:
        The policy, normalised: one action per rule, absolute IRIs for terms,
        target and parties on the policy alone.

    Raises:
        PolicyRefusedError: A profile, action, operator, left operand, value
            or property is unknown or malformed, or the policy is too large;
            the error names the term.
    """
    policy = Reader(WIRE).policy(document, None)
    _require_one_each(policy)
    policy = replace(policy, target=_target(policy.target, default_target))
    _require_parties(policy)
    return policy


def read_policy(
    document: Mapping[str, object], reading: Reading, *, default_target: str | None = None
) -> Policy:
    """Read any ODRL 2.2 policy from compact JSON-LD.

    Args:
        document: The policy: a Set, an Offer or an Agreement. An Offer without
            an assigner is read, too.
        reading: What is understood: `Reading(wide=True)` for all of ODRL, with
            the terms of further profiles where there are some.
        default_target: What rules are about that name no target, on policies
            that name none for all.

    Returns:
        The policy, normalised: atomic rules, each with where it comes from.

    Raises:
        PolicyRefusedError: Something is unknown, malformed or too large; the
            error names the term.
    """
    return Reader(reading).policy(document, default_target)


def _require_one_each(policy: Policy) -> None:
    """Refuse rules of different targets or parties: DSP knows one of each."""
    rules: tuple[AnyRule, ...] = (*policy.permissions, *policy.prohibitions, *policy.obligations)
    for role in sorted(ROLES):
        own = {getattr(rule, role) for rule in rules}
        own |= {getattr(duty, role) for rule in rules for duty in _nested(rule)} - {
            Scope(getattr(policy, role))
        }
        if own != {None}:
            raise refusal(
                role,
                "Alle Regeln müssen denselben Wert für {term} haben; teilen Sie den Vertrag auf.",
                "All rules must have the same {term}; split the policy.",
            )


def _nested(rule: AnyRule) -> Iterator[Duty]:
    """Yield every duty below a rule."""
    for duty in _duties_of(rule):
        yield duty
        yield from _nested(duty)


def _duties_of(rule: AnyRule) -> tuple[Duty, ...]:
    if isinstance(rule, Duty):
        return rule.consequences
    return rule.duties if isinstance(rule, Permission) else rule.remedies


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


def write_rules(policy: Policy) -> dict[str, object]:
    """Write the rules of a policy as compact DSP JSON.

    Args:
        policy: The policy.

    Returns:
        `permission`, `prohibition` and `obligation`, each where there is one:
        ODRL's terms by their short names, ours by their full IRIs. An action
        is a plain text, as DSP wants it, unless it is refined; a target or
        party too, unless it is a collection.
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
    """Write a whole policy as compact JSON; whoever read it reads the same policy again."""
    document: dict[str, object] = {"@type": policy.kind.value, "@id": policy.uid}
    if policy.profiles:
        document["profile"] = list(policy.profiles)
    parties = {"target": policy.target, "assigner": policy.assigner, "assignee": policy.assignee}
    document.update({name: value for name, value in parties.items() if value is not None})
    if policy.conflict is not None:
        document["conflict"] = policy.conflict.value
    if policy.inherits:
        document["inheritFrom"] = list(policy.inherits)
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


def _written_rule(rule: AnyRule) -> dict[str, object]:
    action = rule.action.removeprefix(ODRL)
    written: dict[str, object] = {} if rule.action == ANY_ACTION else {"action": action}
    if rule.refinements:
        written["action"] = {"@id": action, "refinement": [_written(part) for part in rule.refinements]}
    for role in ROLES:
        scope = getattr(rule, role)
        if scope is not None:
            written[role] = _written_scope(scope)
    if isinstance(rule, Duty):
        written.update({function.removeprefix(ODRL): party for function, party in rule.functions})
    if rule.constraints:
        written["constraint"] = [_written(part) for part in rule.constraints]
    return written


def _written_scope(scope: Scope) -> object:
    if scope == Scope(scope.identifier):
        return scope.identifier
    written: dict[str, object] = {}
    if scope.identifier is not None:
        written["@id"] = scope.identifier
    if scope.collection:
        written["@type"] = "AssetCollection"
    if scope.source is not None:
        written["source"] = scope.source
    if scope.refinements:
        written["refinement"] = [_written(part) for part in scope.refinements]
    return written


def _written(constraint: AnyConstraint) -> dict[str, object]:
    if isinstance(constraint, LogicalConstraint):
        return {constraint.connective.value: [_written(operand) for operand in constraint.operands]}
    values = [_written_value(value, constraint.data_type) for value in constraint.right_operand]
    written: dict[str, object] = {
        "leftOperand": constraint.left_operand.removeprefix(ODRL),
        "operator": constraint.operator.value,
        "rightOperand": values[0] if constraint.operator in SINGLE_VALUED and len(values) == 1 else values,
    }
    if constraint.unit is not None:
        written["unit"] = constraint.unit
    return written


def _written_value(value: str, data_type: str | None) -> object:
    return value if data_type is None else {"@value": value, "@type": data_type}

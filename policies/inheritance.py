"""Takes over the rules of parent policies, once, when an agreement is made.

A policy that inherits never decides anything: it is flattened first, from
parents that the caller has and has checked. Nothing is fetched, so an agreement
cannot change because somebody changes its parent.

The rules of a parent come over as they are, with the target and the parties
that the parent states for them; the rules of the child say themselves what they
are about. Profiles are joined. Where a parent has another conflict strategy
than the child, or than another parent, the result is void, and refused.

Source:
    ODRL Information Model 2.2, sections 2.9 (inheritance) and 2.10 (conflict).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from policies.compact import refusal
from policies.model import Duty, Permission, Policy, Prohibition, Scope
from policies.normal_form import renumbered, shared_once
from policies.reader import size_refusal
from policies.reading import Limits

_Rule = TypeVar("_Rule", Permission, Prohibition, Duty)


def flatten(policy: Policy, parents: Mapping[str, Policy], *, limits: Limits | None = None) -> Policy:
    """Put the rules of all ancestors into a policy.

    Args:
        policy: The policy that inherits.
        parents: Every ancestor by its IRI.
        limits: How many atomic rules the result may have; the usual number
            where none are given.

    Returns:
        The policy with its own rules first, and nothing left to inherit. An
        ancestor on several ways is taken over once. A rule that has no IRI of
        its own gets one that says where it comes from.

    Raises:
        PolicyRefusedError: A parent is missing or is another one than it says,
            policies inherit from each other, their conflict strategies differ,
            or the result is too large.
    """
    lineage = tuple(_lineage(policy, parents, ()))
    family = tuple({member.uid: member for member in lineage}.values())
    strategies = {member.conflict for member in family} - {None}
    if len(strategies) > 1:
        raise refusal(
            "conflict",
            "Die Verträge, deren Regeln übernommen werden, haben verschiedene Angaben zu {term}; "
            "damit ist der Vertrag unwirksam.",
            "The policies whose rules are taken over state different {term} strategies; "
            "that makes the policy void.",
        )
    whole = replace(
        policy,
        target=None,
        assigner=None,
        assignee=None,
        profiles=tuple(dict.fromkeys(name for member in family for name in member.profiles)),
        permissions=tuple(rule for member in family for rule in _own(member, member.permissions, policy)),
        prohibitions=tuple(rule for member in family for rule in _own(member, member.prohibitions, policy)),
        obligations=tuple(rule for member in family for rule in _own(member, member.obligations, policy)),
        conflict=next(iter(strategies), None),
        inherits=(),
    )
    most = (limits or Limits()).rules
    if len(whole.permissions) + len(whole.prohibitions) + len(whole.obligations) > most:
        raise size_refusal("inheritFrom", most, {"de": "Regeln", "en": "rules"})
    return renumbered(shared_once(whole))


def _lineage(policy: Policy, parents: Mapping[str, Policy], below: tuple[str, ...]) -> Iterator[Policy]:
    """Yield a policy and its ancestors, the nearest ones first."""
    if policy.uid in below:
        raise refusal(
            policy.uid,
            "Der Vertrag {term} übernimmt über Umwege seine eigenen Regeln.",
            "The policy {term} takes over its own rules in a circle.",
        )
    yield policy
    for name in policy.inherits:
        parent = parents.get(name)
        if parent is None or parent.uid != name:
            raise refusal(
                name,
                "Der Vertrag {term}, dessen Regeln übernommen werden, liegt nicht vor.",
                "The policy {term}, whose rules are taken over, is not at hand.",
            )
        yield from _lineage(parent, parents, (*below, policy.uid))


def _own(member: Policy, rules: tuple[_Rule, ...], child: Policy) -> Iterator[_Rule]:
    """Yield the rules of one policy with everything that it states for all of them."""
    for rule in rules:
        inherited = None if member.uid == child.uid else f"{member.uid}#{rule.origin or rule.identifier}"
        yield replace(
            rule,
            target=rule.target or _scope(member.target),
            assigner=rule.assigner or _scope(member.assigner),
            assignee=rule.assignee or _scope(member.assignee),
            uid=rule.uid or inherited,
        )


def _scope(identifier: str | None) -> Scope | None:
    return None if identifier is None else Scope(identifier)

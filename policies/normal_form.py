"""The one form that every policy has once it was read: rules numbered, what they share said once."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from policies.model import AnyRule, Duty, Permission, Policy, Prohibition, Scope

_Rule = TypeVar("_Rule", Permission, Prohibition, Duty)


def numbered(prefix: str, rules: Iterable[_Rule]) -> tuple[_Rule, ...]:
    """Give every rule its position as its identifier, and the duties below it theirs."""
    return tuple(_identified(rule, f"{prefix}/{position}") for position, rule in enumerate(rules))


def _identified(rule: _Rule, identifier: str) -> _Rule:
    if isinstance(rule, Permission):
        return replace(rule, identifier=identifier, duties=numbered(f"{identifier}/duty", rule.duties))
    if isinstance(rule, Prohibition):
        remedies = numbered(f"{identifier}/remedy", rule.remedies)
        return replace(rule, identifier=identifier, remedies=remedies)
    consequences = numbered(f"{identifier}/consequence", rule.consequences)
    return replace(rule, identifier=identifier, consequences=consequences)


def renumbered(policy: Policy) -> Policy:
    """Number the rules of a policy anew, after rules were added or removed."""
    return replace(
        policy,
        permissions=numbered("permission", policy.permissions),
        prohibitions=numbered("prohibition", policy.prohibitions),
        obligations=numbered("obligation", policy.obligations),
    )


def shared_once(policy: Policy) -> Policy:
    """Say once, on the policy, which target and parties all its rules share.

    Args:
        policy: A policy whose rules say all of that themselves.

    Returns:
        The same policy; what is not the same in all rules, or is a
        collection, stays on the rules.
    """
    rules: tuple[AnyRule, ...] = (*policy.permissions, *policy.prohibitions, *policy.obligations)
    targets, assigners, assignees = (
        {rule.target for rule in rules},
        {rule.assigner for rule in rules},
        {rule.assignee for rule in rules},
    )
    target, assigner, assignee = _plain(targets), _plain(assigners), _plain(assignees)

    def without(rule: _Rule) -> _Rule:
        return replace(
            rule,
            target=None if target else rule.target,
            assigner=None if assigner else rule.assigner,
            assignee=None if assignee else rule.assignee,
        )

    return replace(
        policy,
        target=target,
        assigner=assigner,
        assignee=assignee,
        permissions=tuple(map(without, policy.permissions)),
        prohibitions=tuple(map(without, policy.prohibitions)),
        obligations=tuple(map(without, policy.obligations)),
    )


def _plain(scopes: set[Scope | None]) -> str | None:
    """Find the one asset or party; None where there are several, none, or a collection."""
    [scope, *others] = scopes or {None}
    plain = scope is not None and not others and scope == Scope(scope.identifier)
    return scope.identifier if scope is not None and plain else None

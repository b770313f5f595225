"""A policy's terms as lines for a person, grouped by what they are about, each with who makes it hold."""

from itertools import groupby
from typing import Final

from connector.ui.reading import JoinedTerms, RuleGroup, TermGroup, TermLevel, TermLine
from policies.actions import COMPUTE, QUERY
from policies.enforcement_map import MapEntry, arranged
from policies.model import Policy
from policies.terms import TermUse, classify, stations_in_words

_BY_ACTION: Final = {QUERY: RuleGroup.QUERIES, COMPUTE: RuleGroup.COMPUTATIONS}
_BY_KIND: Final = {"prohibition": RuleGroup.PROHIBITED, "obligation": RuleGroup.DUTIES}


def term_groups(policy: Policy) -> tuple[TermGroup, ...]:
    """Put a policy into words.

    Args:
        policy: An offer or an agreement.

    Returns:
        One group per permission, one for all prohibitions and one for all
        duties, in the policy's order.
    """
    actions = {permission.identifier: permission.action for permission in policy.permissions}
    return tuple(
        TermGroup(_about(rule, actions), tuple(map(_line, arranged(uses))))
        for rule, uses in groupby(classify(policy), key=_rule_of)
    )


def _rule_of(use: TermUse) -> str:
    """What a term is shown with: its permission, duties before it included, or all rules of its kind."""
    kind, *rest = use.rule.split("/")
    return kind if kind in _BY_KIND else "/".join((kind, *rest[:1]))


def _about(rule: str, actions: dict[str, str]) -> RuleGroup:
    if rule in actions:
        return _BY_ACTION.get(actions[rule], RuleGroup.USES)
    return _BY_KIND.get(rule, RuleGroup.GENERAL)


def _line(entry: MapEntry) -> TermLine | JoinedTerms:
    if not isinstance(entry, TermUse):
        return JoinedTerms(entry.head, tuple(map(_line, entry.members)))
    checked = stations_in_words(entry.where) if entry.where else None
    return TermLine(TermLevel(entry.level.value), entry.statement, checked, entry.note)

"""Where a permission and a prohibition of one policy meet, before anybody asks for anything.

The evaluation finds a conflict when a request runs into it. Whoever writes a
policy wants to know earlier. Constraints are not solved here: two rules that
could meet are reported as possible; only where the prohibition covers all of
the permission is the conflict certain.

Source:
    ODRL Information Model 2.2, section 2.10.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.actions import ACTIONS, Action, includes
from policies.model import Conflict, LanguageMap, Permission, Policy, Prohibition, Scope
from policies.wording import action_name, sentence


@dataclass(frozen=True, slots=True)
class Meeting:
    """A permission and a prohibition that are about the same use.

    Attributes:
        permission: Identifier of the permission.
        prohibition: Identifier of the prohibition.
        certain: True where the permission can never be used without the
            prohibition; False where that depends on the request.
        text: The same in words, in German and English.
    """

    permission: str
    prohibition: str
    certain: bool
    text: LanguageMap


def meetings(policy: Policy, actions: Mapping[str, Action] = ACTIONS) -> tuple[Meeting, ...]:
    """Find where permissions and prohibitions of a policy meet.

    Args:
        policy: The policy, with nothing left to inherit.
        actions: The actions that are known.

    Returns:
        Every pair of rules that could apply to one request.
    """
    return tuple(
        _meeting(permission, prohibition, actions)
        for permission in policy.permissions
        for prohibition in policy.prohibitions
        if _may_meet(permission, prohibition, actions)
    )


def is_void(policy: Policy, actions: Mapping[str, Action] = ACTIONS) -> bool:
    """Tell whether a policy is void from the beginning.

    That is so where a conflict is certain and no strategy settles it: without
    one, ODRL takes `invalid`.
    """
    settled = policy.conflict in {Conflict.PERM, Conflict.PROHIBIT}
    return not settled and any(meeting.certain for meeting in meetings(policy, actions))


def _meeting(permission: Permission, prohibition: Prohibition, actions: Mapping[str, Action]) -> Meeting:
    certain = (
        includes(prohibition.action, permission.action, actions)
        and not prohibition.constraints
        and not prohibition.refinements
        and _covers(prohibition.target, permission.target)
        and _covers(prohibition.assignee, permission.assignee)
    )
    text = sentence(
        "„{action}“ ist zugleich erlaubt und verboten."
        if certain
        else "„{action}“ kann zugleich erlaubt und verboten sein.",
        "“{action}” is permitted and prohibited at once."
        if certain
        else "“{action}” may be permitted and prohibited at once.",
        action=action_name(permission.action),
    )
    return Meeting(permission.identifier, prohibition.identifier, certain, text)


def _may_meet(permission: Permission, prohibition: Prohibition, actions: Mapping[str, Action]) -> bool:
    one, other = permission.action, prohibition.action
    return (
        (includes(one, other, actions) or includes(other, one, actions))
        and _may_overlap(permission.target, prohibition.target)
        and _may_overlap(permission.assignee, prohibition.assignee)
    )


def _covers(wider: Scope | None, narrower: Scope | None) -> bool:
    return wider is None or (wider == narrower and not wider.refinements)


def _may_overlap(one: Scope | None, other: Scope | None) -> bool:
    if one is None or other is None or one.collection or other.collection:
        return True
    return one.identifier == other.identifier

"""Taking over the rules of parents once, and finding conflicts before anybody asks."""

from datetime import UTC, datetime

import pytest

from policies.conflicts import is_void, meetings
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, assess
from policies.inheritance import flatten
from policies.model import Conflict, Policy, PolicyKind, Scope
from policies.odrl import Limits, Reading, read_policy

ODRL = "http://www.w3.org/ns/odrl/2/"
WIDE = Reading(wide=True)


def policy(uid: str, *parents: str, **members: object) -> Policy:
    rules = members or {"permission": [{"action": "read"}]}
    return read_policy({"@type": "Set", "@id": uid, "inheritFrom": list(parents), **rules}, WIDE)


def parents(*policies: Policy) -> dict[str, Policy]:
    return {member.uid: member for member in policies}


def test_a_child_takes_over_rules_profiles_and_conflict_strategy_and_keeps_its_own_kind() -> None:
    parent = policy(
        "urn:parent",
        target="urn:d",
        permission=[{"action": "print"}],
        prohibition=[{"@id": "urn:no", "action": "sell"}],
        obligation=[{"action": "attribute"}],
        profile="https://w3id.org/allmende/policy/v1",
        conflict="prohibit",
    )
    child = read_policy(
        {
            "@type": "Agreement",
            "@id": "urn:child",
            "inheritFrom": "urn:parent",
            "permission": [{"action": "read", "target": "urn:d"}],
        },
        WIDE,
    )
    whole = flatten(child, parents(parent))
    assert (whole.kind, whole.uid, whole.inherits) == (PolicyKind.AGREEMENT, "urn:child", ())
    assert [(rule.identifier, rule.action.removeprefix(ODRL)) for rule in whole.permissions] == [
        ("permission/0", "read"),
        ("permission/1", "print"),
    ]
    assert [rule.uid for rule in whole.permissions] == [None, "urn:parent#permission/0"]
    assert [rule.uid for rule in whole.prohibitions] == ["urn:no"]
    assert [duty.action for duty in whole.obligations] == [ODRL + "attribute"]
    assert whole.profiles == ("https://w3id.org/allmende/policy/v1",)
    assert whole.conflict is Conflict.PROHIBIT
    assert whole.target == "urn:d"


def test_what_a_parent_states_for_all_its_rules_stays_with_its_rules() -> None:
    parent = policy("urn:parent", assignee="urn:bob", permission=[{"action": "print"}])
    whole = flatten(policy("urn:child", "urn:parent"), parents(parent))
    assert [rule.assignee for rule in whole.permissions] == [None, Scope("urn:bob")]
    assert whole.assignee is None


def test_rules_are_taken_over_from_every_generation_and_once() -> None:
    family = parents(
        policy("urn:a", "urn:top"),
        policy("urn:b", "urn:top"),
        policy("urn:top", permission=[{"action": "use"}]),
    )
    whole = flatten(policy("urn:child", "urn:a", "urn:b"), family)
    assert [rule.uid for rule in whole.permissions] == [
        None,
        "urn:a#permission/0",
        "urn:top#permission/0",
        "urn:b#permission/0",
    ]


def test_a_policy_may_consist_of_what_it_takes_over() -> None:
    child = read_policy({"@type": "Set", "@id": "urn:child", "inheritFrom": "urn:parent"}, WIDE)
    whole = flatten(child, parents(policy("urn:parent")))
    request = Request(ODRL + "read", "urn:d", "urn:alice")
    now = Facts(datetime(2026, 1, 1, tzinfo=UTC))
    assert not assess(child, request, now).permitted
    assert assess(whole, request, now).permitted


@pytest.mark.parametrize(
    ("family", "term"),
    [
        ([], "urn:parent"),
        ([policy("urn:parent", "urn:gone")], "urn:gone"),
        ([policy("urn:parent", "urn:parent")], "urn:parent"),
        ([policy("urn:parent", "urn:child")], "urn:child"),
        ([policy("urn:parent", "urn:other"), policy("urn:other", "urn:parent")], "urn:parent"),
    ],
    ids=["missing", "grandparent missing", "itself", "the child", "a circle"],
)
def test_a_missing_parent_and_a_circle_are_refused_by_name(family: list[Policy], term: str) -> None:
    known = parents(policy("urn:child", "urn:parent"), *family)
    with pytest.raises(PolicyRefusedError) as refused:
        flatten(known["urn:child"], known)
    assert refused.value.term == term


def test_a_policy_handed_in_under_the_name_of_another_one_is_no_parent() -> None:
    with pytest.raises(PolicyRefusedError, match="not at hand"):
        flatten(policy("urn:child", "urn:parent"), {"urn:parent": policy("urn:forged")})


@pytest.mark.parametrize(
    ("child", "one", "other", "expected"),
    [
        (None, None, None, None),
        (None, "perm", None, Conflict.PERM),
        ("perm", "perm", None, Conflict.PERM),
        ("perm", "prohibit", None, "void"),
        (None, "perm", "prohibit", "void"),
        ("prohibit", None, "invalid", "void"),
    ],
)
def test_conflict_strategies_that_differ_make_the_result_void(
    child: str | None, one: str | None, other: str | None, expected: object
) -> None:
    def stating(strategy: str | None) -> dict:
        return {"permission": [{"action": "read"}], **({"conflict": strategy} if strategy else {})}

    family = parents(policy("urn:one", **stating(one)), policy("urn:other", **stating(other)))
    heir = policy("urn:child", "urn:one", "urn:other", **stating(child))
    if expected == "void":
        with pytest.raises(PolicyRefusedError, match="void"):
            flatten(heir, family)
    else:
        assert flatten(heir, family).conflict is expected


def test_a_family_that_grows_too_large_is_refused() -> None:
    with pytest.raises(PolicyRefusedError, match="more than 1 rules"):
        flatten(policy("urn:child", "urn:parent"), parents(policy("urn:parent")), limits=Limits(rules=1))


CONFLICTS = [
    # permission, prohibition; do they meet, certainly?
    ({"action": "read"}, {"action": "use"}, True),
    ({"action": "use"}, {"action": "read"}, False),
    ({"action": "read"}, {"action": "read"}, True),
    ({"action": "read"}, {"action": "print"}, None),
    ({"action": "sell"}, {"action": "use"}, None),
    ({"action": "read", "target": "urn:a"}, {"action": "read", "target": "urn:b"}, None),
    ({"action": "read", "target": "urn:a"}, {"action": "read"}, True),
    ({"action": "read"}, {"action": "read", "target": "urn:a"}, False),
    ({"action": "read", "assignee": "urn:a"}, {"action": "read", "assignee": "urn:a"}, True),
    ({"action": "read", "assignee": "urn:a"}, {"action": "read", "assignee": "urn:b"}, None),
    (
        {"action": "read", "assignee": "urn:a"},
        {"action": "read", "assignee": {"@id": "urn:all", "@type": "PartyCollection"}},
        False,
    ),
    (
        {"action": "read"},
        {
            "action": "read",
            "constraint": [{"leftOperand": "event", "operator": "eq", "rightOperand": "urn:e"}],
        },
        False,
    ),
]


@pytest.mark.parametrize(("permission", "prohibition", "certain"), CONFLICTS)
def test_a_permission_and_a_prohibition_meet_certainly_perhaps_or_never(
    permission: dict, prohibition: dict, *, certain: bool | None
) -> None:
    other = {"action": "archive", "target": "urn:z", "assignee": "urn:z"}
    rules = {"permission": [permission, other], "prohibition": [prohibition]}
    found = meetings(policy("urn:policy", **rules))
    assert [meeting.certain for meeting in found if meeting.permission == "permission/0"] == (
        [] if certain is None else [certain]
    )
    assert all(meeting.text["de"] and meeting.text["en"] for meeting in found)


@pytest.mark.parametrize(
    ("strategy", "void"), [(None, True), ("invalid", True), ("perm", False), ("prohibit", False)]
)
def test_a_certain_conflict_that_nothing_settles_makes_a_policy_void(
    strategy: str | None, *, void: bool
) -> None:
    rules = {"permission": [{"action": "read"}], "prohibition": [{"action": "use"}]}
    stated = {"conflict": strategy} if strategy else {}
    assert is_void(policy("urn:policy", **rules, **stated)) is void

"""Taking over the rules of parents once, and finding conflicts before anybody asks."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from policies.conflicts import is_void, meetings
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, assess, evaluate
from policies.inheritance import by_identifier, flatten, flattened, require_own_rules
from policies.model import Conflict, Policy, PolicyKind, Scope
from policies.odrl import Limits, Reading, parse_policy, read_policy

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


# documents that travel between connectors

POLICY = "https://w3id.org/allmende/policy/v1"
HOUSE = {
    "@id": "https://coop.example/rules",
    "@type": "Set",
    "profile": POLICY,
    "prohibition": [{"action": "sell"}, {"odrl:action": {"@id": "odrl:distribute"}}],
}
HEIR = {
    "@type": "Offer",
    "@id": "urn:heir",
    "target": "urn:d",
    "inheritFrom": "https://coop.example/rules",
    "permission": [
        {
            "action": POLICY + "#query",
            "constraint": [{"leftOperand": "count", "operator": "lteq", "rightOperand": "3"}],
        }
    ],
    "dct:title": "An heir",
}


def named(*documents: dict) -> dict:
    return {document["@id"]: document for document in documents}


def test_a_document_that_takes_over_nothing_is_returned_as_it_is() -> None:
    document = {"@type": "Offer", "@id": "urn:o", "permission": [{"action": "use", "strange": 1}]}
    assert flattened(document, {}) is document


@pytest.mark.parametrize("key", ["inheritFrom", "odrl:inheritFrom", ODRL + "inheritFrom"])
@pytest.mark.parametrize(
    "value",
    [
        "https://coop.example/rules",
        ["https://coop.example/rules"],
        {"@id": "https://coop.example/rules"},
        [{"uid": "https://coop.example/rules"}],
        ["https://coop.example/rules"] * 2,
    ],
)
def test_an_heir_is_written_with_the_rules_of_its_parent_in_every_spelling(key: str, value: object) -> None:
    heir = {name: member for name, member in HEIR.items() if name != "inheritFrom"} | {key: value}
    assert flattened(heir, named(HOUSE)) == {
        "@type": "Offer",
        "@id": "urn:heir",
        "target": "urn:d",
        "dct:title": "An heir",
        "profile": [POLICY],
        "permission": HEIR["permission"],
        "prohibition": [{"action": "sell"}, {"action": "distribute"}],
    }


def test_what_was_filled_in_is_read_strictly_like_any_other_policy() -> None:
    policy = parse_policy(flattened(HEIR, named(HOUSE)))
    assert (policy.target, policy.inherits) == ("urn:d", ())
    assert [rule.action for rule in policy.prohibitions] == [ODRL + "sell", ODRL + "distribute"]


def test_a_permission_of_the_heir_does_not_lift_a_prohibition_of_its_parent() -> None:
    heir = {**HEIR, "permission": [{"action": "sell"}, {"action": "read"}]}
    policy = parse_policy(flattened(heir, named(HOUSE)))
    facts = Facts(datetime(2026, 1, 1, tzinfo=UTC))
    assert not evaluate(policy, Request(ODRL + "sell", "urn:d", "did:web:b"), facts).permitted
    assert evaluate(policy, Request(ODRL + "read", "urn:d", "did:web:b"), facts).permitted


def test_the_limits_of_a_parent_go_with_its_own_permissions() -> None:
    parent = {**HOUSE, "permission": [{"action": "read", "constraint": HEIR["permission"][0]["constraint"]}]}
    heir = {name: member for name, member in HEIR.items() if name != "permission"}
    [permission] = parse_policy(flattened(heir, named(parent))).permissions
    assert [part.right_operand for part in permission.constraints] == [("3",)]


def test_the_strategy_of_a_parent_is_stated_by_its_heir() -> None:
    whole = flattened(HEIR, named({**HOUSE, "conflict": "prohibit"}))
    assert whole["conflict"] == "prohibit"
    assert parse_policy(whole).conflict is Conflict.PROHIBIT


def scoped(role: str) -> dict:
    return {**HOUSE, role: "urn:x"}


def bomb(size: int) -> dict:
    return {**HOUSE, "prohibition": [{"action": "sell", "uid": f"urn:r{n}"} for n in range(size)]}


def chain(length: int) -> list[dict]:
    """Policies of which each takes over the rules of the next one, and states none itself."""
    middle = [{"@id": f"urn:{n}", "inheritFrom": f"urn:{n + 1}"} for n in range(length)]
    return [{"@id": "https://coop.example/rules", "inheritFrom": "urn:0"}, *middle]


UNFILLABLE = [
    ("nothing at hand", HEIR, [], "https://coop.example/rules", "not at hand.*POST /api/policies"),
    ("a parent's parent", HEIR, [{**HOUSE, "inheritFrom": "urn:gone"}], "urn:gone", "not at hand"),
    ("an address inside", {**HEIR, "inheritFrom": "http://10.0.0.1/"}, [], "http://10.0.0.1/", "not fetched"),
    ("a circle", HEIR, [{**HOUSE, "inheritFrom": "urn:heir"}], "urn:heir", "in a circle"),
    ("itself", {**HEIR, "inheritFrom": "urn:heir"}, [HEIR], "target", "names its own target"),
    ("a target of its own", HEIR, [scoped("target")], "target", "names its own target"),
    ("an assigner of its own", HEIR, [scoped("assigner")], "assigner", "names its own assigner"),
    ("an assignee of its own", HEIR, [scoped("assignee")], "assignee", "names its own assignee"),
    (
        "a target of a rule",
        HEIR,
        [{**HOUSE, "prohibition": [{"action": "sell", "target": "urn:x"}, {"action": "use"}]}],
        "target",
        "names its own target",
    ),
    ("too many rules", HEIR, [bomb(100)], "inheritFrom", "more than 100 rules"),
    ("100 times 100 rules", HEIR, [bomb(101)], "permission", "more than 100 rules"),
    ("a long chain", HEIR, [*chain(5000), {**HOUSE, "@id": "urn:5000"}], "inheritFrom", "more than 100"),
    ("many parents", {**HEIR, "inheritFrom": [f"urn:{n}" for n in range(101)]}, [], "inheritFrom", "100"),
    ("no name", {**HEIR, "inheritFrom": 5}, [HOUSE], "inheritFrom", "is not a text"),
    ("a whole policy", {**HEIR, "inheritFrom": HOUSE}, [HOUSE], "profile", "not understood"),
    ("two names", {**HEIR, "odrl:inheritFrom": "urn:x"}, [HOUSE], "inheritFrom", "stated twice"),
    ("strategies", {**HEIR, "conflict": "perm"}, [{**HOUSE, "conflict": "prohibit"}], "conflict", "void"),
    (
        "an unknown word of the parent",
        HEIR,
        [{**HOUSE, "prohibition": [{"action": "dance"}]}],
        ODRL + "dance",
        "unknown",
    ),
]


@pytest.mark.parametrize(
    ("heir", "family", "term", "said"),
    [case[1:] for case in UNFILLABLE],
    ids=[case[0] for case in UNFILLABLE],
)
def test_a_document_that_cannot_be_given_all_its_rules_is_refused_with_the_reason(
    heir: dict, family: list[dict], term: str, said: str
) -> None:
    with pytest.raises(PolicyRefusedError, match=said) as refused:
        flattened(heir, named(*family))
    assert refused.value.term == term
    assert refused.value.reason["de"] != refused.value.reason["en"]


def test_a_lattice_of_ancestors_is_walked_once() -> None:
    def floor(number: int) -> list[dict]:
        above = [] if number == 0 else [f"urn:a{number - 1}", f"urn:b{number - 1}"]
        rule = {"prohibition": [{"action": "sell"}]} if number == 0 else {}
        return [{"@id": f"urn:{side}{number}", "inheritFrom": above, **rule} for side in "ab"]

    family = [policy for number in range(45) for policy in floor(number)]  # 2**44 ways to the top
    whole = parse_policy(flattened({**HEIR, "inheritFrom": "urn:a44"}, named(*family)))
    assert len(whole.prohibitions) == 2


READERS: list[tuple[str, Callable[[dict], object]]] = [
    ("strict", parse_policy),
    ("agreement", require_own_rules),
]


@pytest.mark.parametrize("key", ["inheritFrom", "odrl:inheritFrom", ODRL + "inheritFrom"])
@pytest.mark.parametrize("read", [reader for _, reader in READERS], ids=[name for name, _ in READERS])
def test_whoever_reads_what_is_agreed_refuses_a_policy_that_still_inherits(
    read: Callable[[dict], object], key: str
) -> None:
    heir = {name: member for name, member in HEIR.items() if name != "inheritFrom"}
    with pytest.raises(PolicyRefusedError, match="inheritFrom"):
        read({**heir, key: "urn:x"})


def test_parents_are_found_by_their_iri_and_only_one_may_have_it() -> None:
    assert by_identifier([HOUSE, {**HOUSE}]) == {"https://coop.example/rules": HOUSE}
    with pytest.raises(PolicyRefusedError, match="two different policies"):
        by_identifier([HOUSE, {**HOUSE, "conflict": "prohibit"}])
    for strange in ({}, {"@id": "rules"}, {"@id": "urn:a", "odrl:uid": "urn:b"}, {"@id": 5}):
        with pytest.raises(PolicyRefusedError, match="exactly one name"):
            by_identifier([strange])


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

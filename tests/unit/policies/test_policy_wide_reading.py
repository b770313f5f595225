"""Reading all of ODRL: the compact form becomes atomic rules, and the wire stays as narrow as it was."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.actions import ANY_ACTION, Action
from policies.errors import PolicyRefusedError
from policies.literals import Literal
from policies.model import Conflict, Policy, Scope
from policies.odrl import Limits, Profile, Reading, parse_policy, read_policy, write_policy

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
WIDE = Reading(wide=True)

COUNT = {"leftOperand": "count", "operator": "lteq", "rightOperand": 20}


def document(**members: object) -> dict:
    return {"@type": "Set", "@id": "urn:policy", "permission": [{"action": "use"}], **members}


def read(reading: Reading = WIDE, **members: object) -> Policy:
    return read_policy(document(**members), reading)


def test_what_the_policy_states_is_copied_into_every_rule_and_said_once() -> None:
    policy = read(
        target="urn:a",
        assignee="urn:alice",
        action="read",
        permission=[{"assigner": "urn:p"}],
        prohibition=[{"action": "sell", "assigner": "urn:p"}],
    )
    assert (policy.target, policy.assigner, policy.assignee) == ("urn:a", "urn:p", "urn:alice")
    assert [rule.action for rule in policy.permissions] == [ODRL + "read"]
    assert [rule.action for rule in policy.prohibitions] == [ODRL + "sell", ODRL + "read"]
    assert {rule.target for rule in (*policy.permissions, *policy.prohibitions)} == {None}


def test_several_targets_actions_and_assignees_become_one_rule_each_that_knows_where_it_comes_from() -> None:
    policy = read(
        permission=[
            {"action": "use", "target": "urn:z"},
            {
                "@id": "urn:rule",
                "action": ["read", "print"],
                "target": ["urn:a", "urn:b"],
                "assignee": ["urn:alice", "urn:bob"],
            },
        ]
    )
    assert [rule.identifier for rule in policy.permissions] == [f"permission/{n}" for n in range(9)]
    split = policy.permissions[1:]
    assert {(rule.action, rule.target, rule.assignee) for rule in split} == {
        (ODRL + action, Scope(target), Scope(assignee))
        for action in ("read", "print")
        for target in ("urn:a", "urn:b")
        for assignee in ("urn:alice", "urn:bob")
    }
    assert {(rule.origin, rule.uid) for rule in split} == {("permission/1", "urn:rule")}
    assert policy.permissions[0].origin == "permission/0"
    assert policy.target is None


@given(st.tuples(*[st.integers(0, 3)] * 3), st.integers(1, 3))
def test_a_rule_becomes_as_many_as_it_has_combinations(parties: tuple, actions: int) -> None:
    roles = dict(zip(("target", "assigner", "assignee"), parties, strict=True))
    rule = {role: [f"urn:{role}:{n}" for n in range(count)] for role, count in roles.items()}
    policy = read(permission=[{**rule, "action": ["use", "read", "print"][:actions]}])
    assert len(policy.permissions) == actions * prod(max(1, count) for count in parties)
    assert len(set(policy.permissions)) == len(policy.permissions)


def test_a_combination_that_grows_too_large_is_refused_before_it_has_grown() -> None:
    many = [f"urn:{n}" for n in range(1_000)]
    with pytest.raises(PolicyRefusedError, match="more than 100 rules"):
        read(permission=[{"action": "use", "target": many, "assignee": many, "assigner": many}])


def test_combinations_that_multiply_with_every_level_of_duties_are_refused_before_they_are_made() -> None:
    actions = ["read", "print", "play", "index", "move", "derive", "delete", "inform"]
    nested: dict = {"action": actions}
    for _ in range(9):
        nested = {"action": actions, "consequence": [nested]}
    for reader in (parse_policy, lambda written: read_policy(written, WIDE)):
        with pytest.raises(PolicyRefusedError, match="more than 100 rules"):
            reader(document(obligation=[nested]))
    two = {"action": ["read", "print"], "duty": [{"action": ["inform", "pay"]}]}
    exactly = Reading(wide=True, limits=Limits(rules=6))
    assert len(read(exactly, permission=[two]).permissions) == 2
    with pytest.raises(PolicyRefusedError, match="more than 5 rules"):
        read(Reading(wide=True, limits=Limits(rules=5)), permission=[two])


def test_duties_remedies_and_consequences_are_numbered_below_their_atomic_rule() -> None:
    policy = read(
        permission=[
            {
                "action": ["read", "print"],
                "duty": [{"action": ["inform", "pay"], "consequence": [{"action": "delete"}]}],
            }
        ],
        prohibition=[{"action": "sell", "remedy": [{"action": "compensate"}]}],
        obligation=[{"action": "attribute"}],
    )
    second = policy.permissions[1]
    assert [duty.identifier for duty in second.duties] == ["permission/1/duty/0", "permission/1/duty/1"]
    assert second.duties[1].consequences[0].identifier == "permission/1/duty/1/consequence/0"
    assert second.duties[1].origin == "permission/0/duty/0"
    assert policy.prohibitions[0].remedies[0].identifier == "prohibition/0/remedy/0"
    assert policy.obligations[0].identifier == "obligation/0"


def test_a_collection_keeps_its_source_and_what_narrows_it() -> None:
    age = {"leftOperand": "percentage", "operator": "gt", "rightOperand": 18}
    policy = read(
        permission=[
            {
                "action": "use",
                "target": {"@type": "AssetCollection", "@id": "urn:films", "source": "urn:catalog"},
                "assignee": {"@type": "PartyCollection", "refinement": [age]},
            }
        ]
    )
    [rule] = policy.permissions
    assert rule.target == Scope("urn:films", collection=True, source="urn:catalog")
    assert rule.assignee is not None
    assert rule.assignee.identifier is None
    assert rule.assignee.refinements[0].right_operand == ("18",)
    assert (policy.target, policy.assignee) == (None, None)


def test_a_reference_stands_for_the_value_that_was_handed_in_and_is_never_followed() -> None:
    constraint = {"leftOperand": "dateTime", "operator": "lt", "rightOperandReference": "urn:deadline"}
    rules = [{"action": "use", "constraint": [constraint]}]
    table = {"urn:deadline": (Literal("2027-01-01T00:00:00Z", XSD + "dateTime"),)}
    [rule] = read(Reading(wide=True, references=table), permission=rules).permissions
    assert rule.constraints[0].right_operand == ("2027-01-01T00:00:00Z",)
    assert rule.constraints[0].data_type == XSD + "dateTime"
    with pytest.raises(PolicyRefusedError, match="not followed") as refused:
        read(permission=rules)
    assert refused.value.term == "urn:deadline"
    both = [{"action": "use", "constraint": [{**constraint, "rightOperand": "x"}]}]
    with pytest.raises(PolicyRefusedError, match="No value may stand beside"):
        read(Reading(wide=True, references=table), permission=both)


@pytest.mark.parametrize("strategy", list(Conflict))
def test_every_conflict_strategy_is_read(strategy: Conflict) -> None:
    assert read(conflict={"@id": f"odrl:{strategy.value}"}).conflict is strategy
    assert read().conflict is None


def test_a_profile_brings_its_terms_and_an_unknown_one_is_refused() -> None:
    profile = Profile({"urn:fly": Action(ODRL + "use", {"de": "f", "en": "f"})}, frozenset({"urn:height"}))
    rules = [
        {
            "action": "urn:fly",
            "constraint": [{"leftOperand": "urn:height", "operator": "lt", "rightOperand": "9"}],
        }
    ]
    known = Reading(wide=True, profiles={"urn:profile": profile})
    assert read(known, profile="urn:profile", permission=rules).permissions[0].action == "urn:fly"
    with pytest.raises(PolicyRefusedError, match="profile urn:profile is unknown"):
        read(profile="urn:profile", permission=rules)
    with pytest.raises(PolicyRefusedError, match="left operand urn:height is unknown"):
        read(permission=rules)


def test_the_limits_are_parameters() -> None:
    rules = [{"action": "use", "constraint": [COUNT] * 1_001}]
    with pytest.raises(PolicyRefusedError, match="more than 1000 constraints"):
        read(permission=rules)
    assert read(Reading(wide=True, limits=Limits(constraints=1_001)), permission=rules)


def test_a_rule_without_an_action_is_read_only_where_that_is_asked_for() -> None:
    with pytest.raises(PolicyRefusedError, match="no action"):
        read(permission=[{}])
    [rule] = read(Reading(wide=True, any_action=True), permission=[{}]).permissions
    assert rule.action == ANY_ACTION


WIDER_THAN_THE_WIRE = [
    ("two targets", {"permission": [{"action": "use", "target": ["urn:a", "urn:b"]}]}, "target"),
    ("two assignees", {"assignee": ["urn:a", "urn:b"]}, "assignee"),
    ("a collection", {"target": {"@id": "urn:a", "source": "urn:s"}}, "source"),
    ("an asset collection", {"target": {"@id": "urn:a", "@type": "AssetCollection"}}, "target"),
    ("permission first", {"conflict": "perm"}, "conflict"),
    ("void", {"conflict": "invalid"}, "conflict"),
    ("inheritance", {"inheritFrom": "urn:parent"}, "inheritFrom"),
    ("a bare number", {"permission": [{"action": "use", "constraint": [COUNT]}]}, ODRL + "count"),
    (
        "a date",
        {
            "permission": [
                {
                    "action": "use",
                    "constraint": [
                        {
                            "leftOperand": "dateTime",
                            "operator": "lt",
                            "rightOperand": {"@value": "2027-01-01", "@type": "xsd:date"},
                        }
                    ],
                }
            ]
        },
        ODRL + "dateTime",
    ),
    (
        "a duty on another asset",
        {
            "target": "urn:a",
            "permission": [{"action": "use", "duty": [{"action": "pay", "target": "urn:b"}]}],
        },
        "target",
    ),
    (
        "a party function",
        {"obligation": [{"action": "inform", "informedParty": "urn:alice"}]},
        "informedParty",
    ),
]


@pytest.mark.parametrize(
    ("members", "term"), [row[1:] for row in WIDER_THAN_THE_WIRE], ids=[row[0] for row in WIDER_THAN_THE_WIRE]
)
def test_what_is_wider_than_the_wire_is_read_and_does_not_travel(members: dict, term: str) -> None:
    policy = read(**members)
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(document(**members))
    assert refused.value.term == term
    assert read_policy(write_policy(policy), WIDE) == policy


def test_an_unknown_property_is_refused_however_wide_the_reader_is() -> None:
    for members in ({"unless": "x"}, {"permission": [{"action": "use", "unless": "x"}]}):
        with pytest.raises(PolicyRefusedError, match="unless is not understood"):
            read(**members)


def test_descriptions_are_skipped_at_every_level() -> None:
    described = {"action": "use", "dct:title": "x", "constraint": [{**COUNT, "rdfs:comment": "y"}]}
    assert read(permission=[described]) == read(permission=[{"action": "use", "constraint": [COUNT]}])

"""Reading a policy to explain it: nothing that it says is lost, and nothing of it is accepted for that."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyRefusedError
from policies.explanation import read_to_explain
from policies.odrl import Reading, parse_policy, read_policy
from policies.terms import Enforcement

ODRL = "http://www.w3.org/ns/odrl/2/"
IDS = "https://w3id.org/idsa/core/"
IDSC = "https://w3id.org/idsa/code/"
COUNT = {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}


def policy(*rules: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"@type": "Offer", "@id": "urn:1", "permission": list(rules) or [{"action": "use"}], **members}


def refused(document: dict[str, Any]) -> list[tuple[str, str]]:
    uses = read_to_explain(document).uses
    return [(use.rule, use.term) for use in uses if use.level is Enforcement.REFUSED]


USE = {"action": "use"}
LEFT_OUT = [
    ("a property of the policy", policy(magic=1), ("", "magic")),
    ("a property of IDS", policy(**{"ids:provider": "urn:x"}), ("", IDS + "provider")),
    ("a kind that nobody here knows", policy(**{"@type": "Ticket"}), ("", ODRL + "Ticket")),
    ("a strategy that ODRL does not have", policy(conflict="whoever"), ("", "conflict")),
    ("a property of a rule", policy({**USE, "magic": 1}), ("permission/0", "magic")),
    (
        "a property of a constraint",
        policy({**USE, "constraint": [{**COUNT, "magic": 1}]}),
        ("permission/0", "magic"),
    ),
    (
        "a property of a constraint in a group",
        policy({**USE, "constraint": [{"or": [{**COUNT, "magic": 1}]}]}),
        ("permission/0", "magic"),
    ),
    (
        "a property of an action",
        policy({"action": {"@id": "use", "magic": 1}}),
        ("permission/0", "magic"),
    ),
    (
        "a property of a party",
        policy({**USE, "assignee": {"@id": "urn:x", "magic": 1}}),
        ("permission/0", "magic"),
    ),
    (
        "a property of a duty",
        policy({**USE, "duty": [{"action": "inform", "magic": 1}]}),
        ("permission/0/duty/0", "magic"),
    ),
    (
        "a duty without an action",
        policy({**USE, "duty": [{}]}),
        ("permission/0", "action"),
    ),
    (
        "an unknown operator",
        policy({**USE, "constraint": [{**COUNT, "operator": "near"}]}),
        ("permission/0", ODRL + "near"),
    ),
    (
        "a constraint without a value",
        policy({**USE, "constraint": [{"leftOperand": "count", "operator": "lteq"}]}),
        ("permission/0", ODRL + "count"),
    ),
    (
        "a reference",
        policy(
            {
                **USE,
                "constraint": [
                    {"leftOperand": "count", "operator": "lteq", "rightOperandReference": "urn:table"}
                ],
            }
        ),
        ("permission/0", "urn:table"),
    ),
    ("a rule that cannot be read", policy(USE, {"action": 5}), ("", "action")),
    (
        "the second of two rules",
        policy(USE, {**USE, "magic": 1, "target": "urn:x"}),
        ("permission/1", "magic"),
    ),
]


@pytest.mark.parametrize(
    ("document", "entry"), [case[1:] for case in LEFT_OUT], ids=[case[0] for case in LEFT_OUT]
)
def test_what_cannot_be_read_is_refused_where_it_stands_and_the_rest_is_shown(
    document: dict[str, Any], entry: tuple[str, str]
) -> None:
    explained = read_to_explain(document)
    assert entry in refused(document)
    assert explained.objection is not None
    assert ODRL + "use" in {use.term for use in explained.uses}
    assert all(use.text["de"] and use.text["en"] for use in explained.uses)
    with pytest.raises(PolicyRefusedError):
        parse_policy(document)
    with pytest.raises(PolicyRefusedError):
        read_policy(document, Reading(wide=True))


def test_a_group_with_a_condition_that_cannot_be_read_is_left_out_as_a_whole() -> None:
    joined = {"or": [COUNT, {**COUNT, "operator": "near"}]}
    uses = read_to_explain(policy({**USE, "constraint": [joined]})).uses
    assert [use.term for use in uses] == [ODRL + "use", ODRL + "near"]


def test_the_second_of_many_rules_from_one_is_not_blamed_for_another_one() -> None:
    document = policy({"action": ["use", "read"]}, {"action": "print", "magic": 1})
    assert ("permission/2", "magic") in refused(document)


def test_a_policy_that_is_accepted_leaves_nothing_out() -> None:
    explained = read_to_explain(policy({**USE, "constraint": [COUNT]}))
    assert (explained.objection, explained.left_out) == (None, ())
    assert {use.level for use in explained.uses} == {Enforcement.ENFORCED}


def test_prefixes_that_a_policy_defines_are_written_out_and_its_context_is_refused() -> None:
    rule = {
        "action": "idsc:READ",
        "constraint": [{"leftOperand": "ex:mood", "operator": "eq", "rightOperand": "ex:good"}],
    }
    context = ["http://www.w3.org/ns/odrl.jsonld", {"idsc": IDSC, "ex": "https://example.org/"}]
    explained = read_to_explain(policy(rule, **{"@context": context}))
    assert [(use.rule, use.term) for use in explained.uses] == [
        ("", "@context"),
        ("permission/0", IDSC + "READ"),
        ("permission/0", "https://example.org/mood"),
    ]
    [mood] = explained.policy.permissions[0].constraints
    assert getattr(mood, "right_operand", None) == ("ex:good",)  # a value, no name


CONTEXTS = [
    {"use": "https://example.org/"},
    {"count": "https://example.org/"},
    {"permission": "https://example.org/"},
    {"odrl": "https://example.org/"},
    {"xsd": "https://example.org/"},
    {"dc": "https://example.org/"},
    {"@vocab": "https://example.org/"},
    {"@base": "https://example.org/"},
    {"ex": {"@id": "https://example.org/", "@type": "@id"}},
    {"ex": "https://example.org/exactly"},
    {"ex": None},
    5,
]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_that_can_redefine_words_leaves_nothing_to_explain(context: Any) -> None:
    with pytest.raises(PolicyRefusedError, match="inline @context can redefine words"):
        read_to_explain(policy({**USE, "constraint": [COUNT]}, **{"@context": context}))


def test_a_policy_that_is_too_large_is_not_explained() -> None:
    with pytest.raises(PolicyRefusedError, match="more than 100 rules"):
        read_to_explain(policy(*[{**USE, "magic": 1}] * 101))


def test_what_is_nested_too_deeply_is_left_out() -> None:
    constraint: dict[str, Any] = COUNT
    for _ in range(20):
        constraint = {"and": [constraint]}
    assert ("permission/0", "constraint") in refused(policy({**USE, "constraint": [constraint]}))


NAMES = st.sampled_from(
    ["action", "constraint", "and", "or", "leftOperand", "operator", "rightOperand", "duty", "magic", "@type"]
)
VALUES = st.recursive(
    st.sampled_from(["use", "read", "count", "lteq", "20", "urn:x", 5, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=3), VALUES)
def test_whatever_is_written_is_explained_or_refused_and_accepted_only_where_the_strict_reader_does(
    rules: list[dict[str, Any]], magic: object
) -> None:
    document = policy(*rules, magic=magic)
    with pytest.raises(PolicyRefusedError):
        parse_policy(document)
    try:
        explained = read_to_explain(document)
    except PolicyRefusedError:
        return
    assert explained.objection is not None
    assert ("", "magic") in refused(document)

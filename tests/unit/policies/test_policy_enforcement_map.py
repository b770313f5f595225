"""What joins the conditions of a rule is kept: in the map, in each sentence, and in running text."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.enforcement_map import Joined, MapEntry, arranged, in_running_text
from policies.model import Constraint, LogicalConstraint
from policies.odrl import parse_policy
from policies.terms import Enforcement, TermUse, classify

ODRL = "http://www.w3.org/ns/odrl/2/"
DPV = "https://w3id.org/dpv#"
PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": DPV + "Marketing"}
END = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-01-01T00:00:00Z"}
PLACE = {"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "DE"}
CONNECTIVES = ["and", "or", "xone", "andSequence"]


def rules(**members: Any) -> tuple[TermUse, ...]:
    return classify(parse_policy({"@type": "Offer", "@id": "urn:1", **members}))


def outline(entries: Iterable[MapEntry], language: str) -> list[Any]:
    """Write statements, with each group as its head and a list."""
    lines: list[Any] = []
    for entry in entries:
        if isinstance(entry, Joined):
            lines += [entry.head[language], outline(entry.members, language)]
        else:
            lines.append(entry.statement[language])
    return lines


LIMITS = [
    ("and", "Alle 2 Bedingungen müssen gelten", "All 2 conditions must hold"),
    (
        "or",
        "Mindestens eine von 2 Bedingungen muss gelten",
        "At least one of 2 conditions must hold",
    ),
    ("xone", "Genau eine von 2 Bedingungen muss gelten", "Exactly one of 2 conditions must hold"),
    (
        "andSequence",
        "Alle 2 Bedingungen müssen gelten, in dieser Reihenfolge",
        "All 2 conditions must hold, in this order",
    ),
]
TRIGGERS = [
    ("and", "Gilt, wenn alle 2 Bedingungen zutreffen", "Holds if all 2 conditions are true"),
    (
        "or",
        "Gilt, wenn mindestens eine von 2 Bedingungen zutrifft",
        "Holds if at least one of 2 conditions is true",
    ),
    (
        "xone",
        "Gilt, wenn genau eine von 2 Bedingungen zutrifft",
        "Holds if exactly one of 2 conditions is true",
    ),
    (
        "andSequence",
        "Gilt, wenn alle 2 Bedingungen zutreffen, in dieser Reihenfolge",
        "Holds if all 2 conditions are true, in this order",
    ),
]


@pytest.mark.parametrize(("connective", "german", "english"), LIMITS)
def test_a_group_of_a_permission_says_how_many_of_its_conditions_have_to_hold(
    connective: str, german: str, english: str, offer_with: Callable[..., dict]
) -> None:
    uses = classify(parse_policy(offer_with({connective: [PURPOSE, END]}, PLACE)))
    assert outline(arranged(uses), "en") == [
        "Queries are permitted.",
        english,
        [
            "Only for the purpose “marketing” and what falls under it.",
            "Until 1 Jan 2027, 00:00 (UTC).",
        ],
        "Only in DE.",
    ]
    assert outline(arranged(uses), "de")[1] == german


@pytest.mark.parametrize(("connective", "german", "english"), TRIGGERS)
@pytest.mark.parametrize("kind", ["prohibition", "obligation"])
def test_a_group_of_a_prohibition_or_duty_says_when_it_holds(
    kind: str, connective: str, german: str, english: str
) -> None:
    uses = rules(**{kind: [{"action": "print", "constraint": [{connective: [PURPOSE, END]}]}]})
    assert outline(arranged(uses), "en")[1:] == [
        english,
        ["purpose is a kind of “marketing”.", "time at most 1 Jan 2027, 00:00 (UTC)."],
    ]
    assert outline(arranged(uses), "de")[1] == german


@pytest.mark.parametrize("kind", ["prohibition", "obligation"])
def test_several_constraints_of_a_prohibition_or_duty_are_said_to_be_all_needed(kind: str) -> None:
    uses = rules(**{kind: [{"action": "print", "constraint": [PURPOSE, {"xone": [END, PLACE]}]}]})
    assert outline(arranged(uses), "en")[1:] == [
        "Holds if all 2 conditions are true",
        [
            "purpose is a kind of “marketing”.",
            "Exactly one of 2 conditions",
            ["time at most 1 Jan 2027, 00:00 (UTC).", "place of use is part of DE."],
        ],
    ]


def test_one_constraint_of_a_prohibition_says_by_itself_when_it_holds() -> None:
    uses = rules(prohibition=[{"action": "print", "constraint": [PURPOSE]}])
    assert outline(arranged(uses), "en")[1:] == ["Holds if: purpose is a kind of “marketing”."]


def test_what_narrows_the_action_of_a_prohibition_is_joined_with_its_constraints() -> None:
    action = {"rdf:value": {"@id": "print"}, "refinement": [PLACE]}
    uses = rules(prohibition=[{"action": action, "constraint": [PURPOSE]}])
    assert outline(arranged(uses), "en")[1] == "Holds if all 2 conditions are true"


@pytest.mark.parametrize("connective", CONNECTIVES)
def test_a_group_of_one_is_no_group(connective: str, offer_with: Callable[..., dict]) -> None:
    uses = classify(parse_policy(offer_with({connective: [{"or": [END]}]})))
    assert [use.within for use in uses] == [(), ()]


def test_two_groups_side_by_side_stay_two(offer_with: Callable[..., dict]) -> None:
    group = {"or": [PURPOSE, END]}
    uses = classify(parse_policy(offer_with(group, group)))
    assert [len(entry.members) for entry in arranged(uses) if isinstance(entry, Joined)] == [2, 2]


def test_each_sentence_by_itself_says_what_it_is_joined_with(offer_with: Callable[..., dict]) -> None:
    written = offer_with({"or": [PURPOSE, {"and": [END, PLACE]}]})
    [place] = [use for use in classify(parse_policy(written)) if use.term == ODRL + "spatial"]
    assert place.text["en"].startswith(
        "At least one of 2 conditions must hold; condition 2: All 2 conditions; condition 2: Only in DE. "
        "Enforced by technology at each access"
    )
    assert place.text["de"].startswith(
        "Mindestens eine von 2 Bedingungen muss gelten; Bedingung 2: Alle 2 Bedingungen; Bedingung 2: "
        "Nur in DE. Technisch durchgesetzt bei jedem Zugriff"
    )
    assert [part.written for part in place.within] == [
        {"group": "permission/0/constraint/0", "connective": "or", "position": 2, "of": 2},
        {"group": "permission/0/constraint/0/1", "connective": "and", "position": 2, "of": 2},
    ]


def test_running_text_keeps_what_is_joined_in_brackets(offer_with: Callable[..., dict]) -> None:
    text = in_running_text(classify(parse_policy(offer_with({"or": [END, {"and": [END, END]}]}, END))))
    until = (
        "Until 1 Jan 2027, 00:00 (UTC). "
        "Enforced by technology at negotiation, at start, at each access and at each release."
    )
    assert text["en"].endswith(
        "At least one of 2 conditions must hold: "
        f"(1: {until}) (2: All 2 conditions: (1: {until}) (2: {until})) {until}"
    )
    assert "Mindestens eine von 2 Bedingungen muss gelten: (1: Bis 01.01.2027" in text["de"]


@pytest.mark.parametrize("kind", ["permission", "prohibition", "obligation"])
def test_no_two_connectives_read_the_same(kind: str) -> None:
    written = [{kind: [{"action": "use", "constraint": [{name: [PURPOSE, END]}]}]} for name in CONNECTIVES]
    for language in ("de", "en"):
        said = [tuple(use.text[language] for use in rules(**members)) for members in written]
        in_text = [in_running_text(rules(**members))[language] for members in written]
        assert len(set(said)) == len(set(in_text)) == len(CONNECTIVES)


CONSTRAINTS = st.recursive(
    st.sampled_from([PURPOSE, END, PLACE]),
    lambda inner: st.builds(
        lambda name, operands: {name: operands},
        st.sampled_from(CONNECTIVES),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=12,
)


def leaves(entries: Iterable[MapEntry]) -> Iterator[TermUse]:
    for entry in entries:
        if isinstance(entry, Joined):
            assert len(entry.members) > 1
            yield from leaves(entry.members)
        else:
            yield entry


def shape(constraint: Constraint | LogicalConstraint) -> Any:
    if isinstance(constraint, Constraint):
        return constraint.left_operand
    inner = [shape(operand) for operand in constraint.operands]
    return inner[0] if len(inner) == 1 else (constraint.connective.value, inner)


def shape_of(entry: MapEntry, depth: int = 0) -> Any:
    if isinstance(entry, TermUse):
        return entry.term
    first = next(leaves(entry.members))
    return first.within[depth].connective.value, [shape_of(member, depth + 1) for member in entry.members]


@given(st.lists(CONSTRAINTS, min_size=1, max_size=4))
def test_the_map_has_the_groups_of_the_policy_and_loses_no_term(constraints: list[dict[str, Any]]) -> None:
    rule = {"action": "use", "constraint": constraints}
    policy = parse_policy({"@type": "Offer", "@id": "urn:1", "permission": [rule]})
    uses = classify(policy)
    entries = arranged(uses)
    assert tuple(leaves(entries)) == uses
    assert [shape_of(entry) for entry in entries[1:]] == [
        shape(constraint) for constraint in policy.permissions[0].constraints
    ]


def test_a_limit_in_a_group_of_one_is_still_refused_where_the_group_is_an_alternative(
    offer_with: Callable[..., dict],
) -> None:
    limit = {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}
    [use] = [use for use in classify(parse_policy(offer_with({"or": [limit]}))) if use.term == ODRL + "count"]
    assert use.level is Enforcement.REFUSED

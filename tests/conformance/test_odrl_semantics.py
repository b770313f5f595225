"""ODRL 2.2: action hierarchy, operators and conflicts, with expectations typed from the specification."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from policies.actions import ACTIONS, includes
from policies.evaluation import Facts, Request, evaluate
from policies.model import Operator
from policies.odrl import parse_policy
from policies.operands import compare
from policies.values import Value

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATE = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wider", "narrower", "expected"),
    [
        # ODRL Vocabulary 2.2, section 4.7: includedIn, over any number of steps
        ("use", "use", True),
        ("use", "read", True),
        ("use", "distribute", True),
        ("use", "reproduce", True),
        ("reproduce", "extract", True),
        ("use", "extract", True),
        ("extract", "reproduce", False),
        ("read", "use", False),
        ("read", "distribute", False),
        # transfer is no kind of use, nor the other way round
        ("transfer", "sell", True),
        ("transfer", "give", True),
        ("use", "sell", False),
        ("use", "transfer", False),
        ("transfer", "use", False),
        # deprecated terms stand for their exact match
        ("modify", "write", True),
        ("use", "write", True),
        ("reproduce", "copy", True),
        ("transform", "export", True),
        ("grantUse", "license", True),
        ("compensate", "pay", True),
        ("read", "write", False),
    ],
)
def test_an_action_includes_what_the_vocabulary_says(wider: str, narrower: str, *, expected: bool) -> None:
    assert includes(ODRL + wider, ODRL + narrower) is expected


@pytest.mark.parametrize("action", ["query", "compute"])
def test_our_actions_are_kinds_of_use_and_of_nothing_else(action: str) -> None:
    assert {wider for wider in ACTIONS if includes(wider, POLICY + action)} == {POLICY + action, ODRL + "use"}


def test_every_action_but_use_and_transfer_leads_to_one_of_them_or_is_deprecated() -> None:
    without = {"lease", "lend", "preview", "secondaryUse"}
    for action in ACTIONS:
        top = includes(ODRL + "use", action) or includes(ODRL + "transfer", action)
        assert top != (action.removeprefix(ODRL) in without), action


def test_an_unknown_action_is_included_in_nothing_not_even_in_itself() -> None:
    assert not includes("https://example.org/fly", "https://example.org/fly")
    assert not includes(ODRL + "use", "https://example.org/fly")


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("eq", 5, 5, True),
        ("eq", 5, 6, False),
        ("neq", 5, 6, True),
        ("neq", 5, 5, False),
        ("lt", 5, 6, True),
        ("lt", 5, 5, False),
        ("lteq", 5, 5, True),
        ("lteq", 6, 5, False),
        ("gt", 6, 5, True),
        ("gt", 5, 5, False),
        ("gteq", 5, 5, True),
        ("gteq", 4, 5, False),
        ("lt", Decimal("4.99"), 5, True),
        ("eq", Decimal("5.0"), 5, True),
        ("lt", EARLY, LATE, True),
        ("lt", LATE, EARLY, False),
        ("lteq", EARLY, EARLY, True),
        ("gt", LATE, EARLY, True),
        ("gteq", EARLY, LATE, False),
        ("eq", "a", "a", True),
        ("neq", "a", "b", True),
        # values of different types do not compare: the answer is not known
        ("eq", 5, "5", None),
        ("neq", 5, "5", None),
        ("lt", 5, LATE, None),
        ("gteq", EARLY, 5, None),
        ("lt", "a", "b", None),
        ("eq", 5, None, None),
        # no hierarchy is known for these
        ("isA", "a", "a", None),
        ("hasPart", "a", "a", None),
        ("isPartOf", "a", "a", None),
    ],
)
def test_operators_compare_values_of_one_type(
    operator: str, left: Value, right: Value | None, *, expected: bool | None
) -> None:
    assert compare(Operator(operator), left, (right,)) is expected


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("isAnyOf", "a", ("a", "b"), True),
        ("isAnyOf", "c", ("a", "b"), False),
        ("isNoneOf", "c", ("a", "b"), True),
        ("isNoneOf", "a", ("a", "b"), False),
        ("isAllOf", "a", ("a",), True),
        ("isAllOf", "a", ("a", "b"), False),
        ("isAnyOf", "a", (5, "a"), True),
        ("isAnyOf", "a", (5, "b"), None),
        ("isNoneOf", "a", (5, "b"), None),
        ("isAnyOf", "a", (), None),
        ("isNoneOf", "a", (), None),
        ("lt", 1, (2, 3), None),
    ],
)
def test_set_operators_compare_with_each_value(
    operator: str, left: Value, right: tuple[Value, ...], *, expected: bool | None
) -> None:
    assert compare(Operator(operator), left, right) is expected


@pytest.mark.parametrize(
    ("permission", "prohibition", "action", "permitted"),
    [
        # ODRL Information Model 2.2, section 2.10, conflict strategy `prohibit`
        ("use", None, POLICY + "query", True),
        ("use", "use", POLICY + "query", False),
        ("use", POLICY + "query", POLICY + "query", False),
        ("use", POLICY + "query", POLICY + "compute", True),
        (POLICY + "query", "use", POLICY + "query", False),
        (POLICY + "query", "transfer", POLICY + "query", True),
        ("use", "reproduce", ODRL + "extract", False),
        (None, "transfer", POLICY + "query", False),
    ],
)
def test_a_prohibition_wins_over_a_permission(
    permission: str | None, prohibition: str | None, action: str, *, permitted: bool
) -> None:
    policy = parse_policy(
        {
            "@type": "Set",
            "@id": "urn:1",
            "target": "urn:d",
            "conflict": "prohibit",
            "permission": [{"action": permission}] if permission else [],
            "prohibition": [{"action": prohibition}] if prohibition else [],
        }
    )
    assert evaluate(policy, Request(action, "urn:d", "did:web:c"), Facts(EARLY)).permitted is permitted

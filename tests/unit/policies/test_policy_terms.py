"""The enforcement map: what is a lock, what is a promise, and what is neither."""

from collections.abc import Callable

import pytest

from policies.errors import PolicyRefusedError
from policies.left_operands import LEFT_OPERANDS
from policies.model import Operator
from policies.odrl import parse_policy
from policies.terms import Enforcement, Where, classify, require_enforceable

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"

COUNT = {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}
PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": DPV + "Marketing"}
GROUP = {"leftOperand": POLICY + "minGroupSize", "operator": "gteq", "rightOperand": "5"}


def test_everything_in_the_demo_offer_is_enforced_and_says_where(demo_offer: dict) -> None:
    policy = parse_policy(demo_offer)
    require_enforceable(policy)
    uses = classify(policy)
    assert {use.level for use in uses} == {Enforcement.ENFORCED}
    assert all(use.where for use in uses)
    [limit] = [use for use in uses if use.rule == "permission/0" and use.term == ODRL + "count"]
    assert limit.where == (Where.ACCESS,)
    assert limit.text == {
        "de": "Höchstens 20 Nutzungen. Technisch durchgesetzt bei jedem Zugriff.",
        "en": "At most 20 uses. Enforced by technology at each access.",
    }


def test_a_purpose_says_that_it_is_what_the_partner_declares(offer_with: Callable[..., dict]) -> None:
    uses = classify(parse_policy(offer_with(PURPOSE)))
    [purpose] = [use for use in uses if use.term == ODRL + "purpose"]
    assert "dass er stimmt, ist seine Zusage" in purpose.text["de"]
    assert "that it is true is a promise" in purpose.text["en"]


def test_copying_raw_data_is_prevented_and_passing_on_results_is_a_promise() -> None:
    policy = parse_policy(
        {
            "@type": "Offer",
            "@id": "urn:uuid:1",
            "prohibition": [{"action": "reproduce"}, {"action": "distribute"}, {"action": "sell"}],
            "obligation": [{"action": "delete"}],
        }
    )
    require_enforceable(policy)
    assert [(use.rule, use.level.value) for use in classify(policy)] == [
        ("prohibition/0", "enforced"),
        ("prohibition/1", "declared"),
        ("prohibition/2", "declared"),
        ("obligation/0", "declared"),
    ]


@pytest.mark.parametrize("action", ["read", "copy", "distribute", "aggregate", "transfer", "odrl:write"])
def test_a_permission_that_nobody_here_can_serve_is_refused(
    offer_with: Callable[..., dict], action: str
) -> None:
    with pytest.raises(PolicyRefusedError, match="Only queries, computations and the delivery of raw data"):
        require_enforceable(parse_policy(offer_with(action=action)))


NOT_MEASURED = [
    "absolutePosition",
    "absoluteSize",
    "absoluteSpatialPosition",
    "absoluteTemporalPosition",
    "delayPeriod",
    "deliveryChannel",
    "device",
    "elapsedTime",
    "event",
    "fileFormat",
    "industry",
    "language",
    "media",
    "meteredTime",
    "payAmount",
    "percentage",
    "product",
    "recipient",
    "relativePosition",
    "relativeSize",
    "relativeSpatialPosition",
    "relativeTemporalPosition",
    "resolution",
    "spatial",
    "spatialCoordinates",
    "system",
    "systemDevice",
    "timeInterval",
    "unitOfCount",
    "version",
    "virtualLocation",
]


def test_odrl_has_34_left_operands_and_all_are_known() -> None:
    assert len(NOT_MEASURED) + len({"count", "dateTime", "purpose"}) == 34
    known = {term for term in LEFT_OPERANDS if term.startswith(ODRL)}
    assert known == {ODRL + name for name in (*NOT_MEASURED, "count", "dateTime", "purpose")}


@pytest.mark.parametrize("name", NOT_MEASURED)
def test_a_left_operand_that_cannot_be_measured_is_refused_by_name(
    offer_with: Callable[..., dict], name: str
) -> None:
    policy = parse_policy(offer_with({"leftOperand": name, "operator": "eq", "rightOperand": "1"}))
    with pytest.raises(PolicyRefusedError) as refused:
        require_enforceable(policy)
    assert refused.value.term == ODRL + name
    assert ODRL + name in refused.value.reason["de"]


REFUSED = [
    ("exactly twenty uses", {**COUNT, "operator": "eq"}),
    (
        "an exact moment",
        {"leftOperand": "dateTime", "operator": "eq", "rightOperand": "2027-01-01T00:00:00Z"},
    ),
    ("a part of a purpose", {**PURPOSE, "operator": "isPartOf"}),
    ("a group size from above", {**GROUP, "operator": "lteq"}),
    ("a group size with a unit", {**GROUP, "unit": "http://example.org/dozen"}),
    ("a limit that something else may replace", {"or": [GROUP, PURPOSE]}),
    ("a number of uses that something else may replace", {"xone": [COUNT, PURPOSE]}),
    (
        "an algorithm on a query",
        {"leftOperand": POLICY + "algorithmDigest", "operator": "eq", "rightOperand": "a" * 64},
    ),
]


@pytest.mark.parametrize("constraint", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_combination_that_cannot_be_enforced_is_refused(
    offer_with: Callable[..., dict], constraint: dict
) -> None:
    with pytest.raises(PolicyRefusedError):
        require_enforceable(parse_policy(offer_with(constraint)))


def test_a_group_size_is_not_enforced_on_computations_and_refused_there(
    offer_with: Callable[..., dict],
) -> None:
    with pytest.raises(PolicyRefusedError, match="not enforced for the action “compute”"):
        require_enforceable(parse_policy(offer_with(GROUP, action=POLICY + "compute")))


def test_two_units_of_counting_are_refused(offer_with: Callable[..., dict]) -> None:
    unit = {"leftOperand": POLICY + "groupUnit", "operator": "eq", "rightOperand": "profile"}
    require_enforceable(parse_policy(offer_with(unit, unit)))
    with pytest.raises(PolicyRefusedError, match="one unit of counting"):
        require_enforceable(parse_policy(offer_with(unit, {**unit, "rightOperand": "sector"})))


def test_a_duty_before_the_use_is_refused_because_nobody_checks_it() -> None:
    written = {
        "@type": "Offer",
        "@id": "urn:1",
        "permission": [{"action": "use", "duty": [{"action": "inform"}]}],
    }
    with pytest.raises(PolicyRefusedError, match="write it as an obligation"):
        require_enforceable(parse_policy(written))


@pytest.mark.parametrize("constraint", [COUNT, GROUP])
def test_a_limit_in_a_prohibition_is_refused(constraint: dict) -> None:
    written = {
        "@type": "Offer",
        "@id": "urn:1",
        "prohibition": [{"action": "use", "constraint": [constraint]}],
    }
    with pytest.raises(PolicyRefusedError, match="A limit belongs in the permission"):
        require_enforceable(parse_policy(written))


def test_a_prohibition_for_a_purpose_is_enforced_and_a_promise_stays_one() -> None:
    written = {
        "@type": "Offer",
        "@id": "urn:1",
        "prohibition": [
            {"action": "use", "constraint": [PURPOSE]},
            {"action": "distribute", "constraint": [PURPOSE]},
        ],
    }
    levels = [(use.term, use.level.value) for use in classify(parse_policy(written))]
    assert levels == [
        (ODRL + "use", "enforced"),
        (ODRL + "purpose", "enforced"),
        (ODRL + "distribute", "declared"),
        (ODRL + "purpose", "declared"),
    ]


def test_every_operator_of_every_left_operand_has_a_verdict_in_both_languages(
    offer_with: Callable[..., dict],
) -> None:
    values = {"dateTime": "2027-01-01T00:00:00Z", "purpose": DPV + "Marketing", "assignee": "did:web:a"}
    values |= {"algorithmDigest": "a" * 64, "queryClass": "aggregate", "outputReview": "auto"}
    for left_operand in LEFT_OPERANDS:
        value = values.get(left_operand.removeprefix(ODRL).removeprefix(POLICY), "1")
        value = (
            "a" if left_operand.startswith(POLICY) and value == "1" and "min" not in left_operand else value
        )
        value = "9" if left_operand == POLICY + "maxResultRows" else value
        for operator in Operator:
            constraint = {"leftOperand": left_operand, "operator": operator.value, "rightOperand": value}
            uses = classify(parse_policy(offer_with(constraint, action="use")))
            assert uses[-1].term == left_operand
            assert all(uses[-1].text[language].strip() for language in ("de", "en"))

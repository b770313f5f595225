"""The enforcement map: what is a lock, what is a promise, and what is neither."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from policies.errors import PolicyRefusedError
from policies.left_operands import LEFT_OPERANDS
from policies.model import Conflict, Constraint, Operator, Permission, Policy, PolicyKind, Scope
from policies.odrl import parse_policy
from policies.terms import Enforcement, Where, classify, require_enforceable
from policies.values import ValueType

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
    "deliveryChannel",
    "device",
    "fileFormat",
    "industry",
    "language",
    "media",
    "payAmount",
    "percentage",
    "product",
    "relativePosition",
    "relativeSize",
    "relativeSpatialPosition",
    "relativeTemporalPosition",
    "resolution",
    "spatialCoordinates",
    "system",
    "systemDevice",
    "unitOfCount",
    "version",
    "virtualLocation",
]


MEASURED = [
    "count",
    "dateTime",
    "delayPeriod",
    "elapsedTime",
    "event",
    "meteredTime",
    "purpose",
    "recipient",
    "spatial",
    "timeInterval",
]


def test_odrl_has_34_left_operands_and_all_are_known() -> None:
    assert len(NOT_MEASURED) + len(MEASURED) == 34
    known = {term for term in LEFT_OPERANDS if term.startswith(ODRL)}
    assert known == {ODRL + name for name in (*NOT_MEASURED, *MEASURED)}


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
        "time between uses that something else may replace",
        {"or": [{"leftOperand": "timeInterval", "operator": "gteq", "rightOperand": "PT1H"}, PURPOSE]},
    ),
    (
        "computing time on a query",
        {"leftOperand": "meteredTime", "operator": "lteq", "rightOperand": "PT1H"},
    ),
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


VALUES = {
    ValueType.DATE_TIME: "2027-01-01T00:00:00Z",
    ValueType.COUNT: "9",
    ValueType.POSITIVE: "9",
    ValueType.DECIMAL: "0.5",
    ValueType.DURATION: "P30D",
    ValueType.IRI: DPV + "Marketing",
    ValueType.DIGEST: "a" * 64,
    ValueType.NAME: "a",
    ValueType.TEXT: "a",
}
SPECIAL = {
    "queryClass": "aggregate",
    "outputReview": "auto",
    "columnMask": "a=hash",
    "maxCellDominance": "2,90",
}
SPECIAL |= {
    "seat": "DE11",
    ODRL + "spatial": "DE11",
    "https://w3id.org/catenax/2025/9/policy/Membership": "active",
}


@pytest.mark.parametrize("left_operand", LEFT_OPERANDS)
def test_every_operator_of_every_left_operand_has_one_verdict_in_both_languages(
    offer_with: Callable[..., dict], left_operand: str
) -> None:
    known = LEFT_OPERANDS[left_operand]
    value = SPECIAL.get(left_operand.removeprefix(POLICY), VALUES[known.value_type])
    for operator in Operator:
        constraint = {"leftOperand": left_operand, "operator": operator.value, "rightOperand": value}
        [use] = [
            use
            for use in classify(parse_policy(offer_with(constraint, action="use")))
            if use.term == left_operand
        ]
        enforceable = operator in known.stations
        assert (use.level is not Enforcement.REFUSED) is enforceable
        assert bool(use.where) is (use.level is Enforcement.ENFORCED)
        assert all(use.text[language].strip() for language in ("de", "en"))


MALFORMED = [
    ("columnMask", "eq", "load_kw=encrypt"),
    ("columnMask", "eq", "load_kw=truncate"),
    ("columnMask", "eq", "load_kw=generalise:0"),
    ("columnMask", "isAllOf", ["load_kw=hash", "profile"]),
    ("maxCellDominance", "eq", "0,90"),
    ("maxCellDominance", "eq", "2,101"),
    ("pPercent", "gteq", "101"),
]


@pytest.mark.parametrize(("name", "operator", "value"), MALFORMED)
def test_a_value_of_another_form_is_refused_with_the_form_that_is_wanted(
    offer_with: Callable[..., dict], name: str, operator: str, value: object
) -> None:
    constraint = {"leftOperand": POLICY + name, "operator": operator, "rightOperand": value}
    with pytest.raises(PolicyRefusedError, match="is not valid; required is"):
        parse_policy(offer_with(constraint))


def test_a_second_rounding_is_refused(offer_with: Callable[..., dict]) -> None:
    base = {"leftOperand": POLICY + "roundingBase", "operator": "eq", "rightOperand": "5"}
    require_enforceable(parse_policy(offer_with(base, base)))
    with pytest.raises(PolicyRefusedError, match="only one rounding"):
        require_enforceable(parse_policy(offer_with(base, {**base, "rightOperand": "7"})))


FEDERATED = {"leftOperand": POLICY + "federatedMinParticipants", "operator": "gteq", "rightOperand": "3"}


def test_what_only_the_asking_side_sees_is_a_promise(offer_with: Callable[..., dict]) -> None:
    policy = parse_policy(offer_with(FEDERATED))
    require_enforceable(policy)
    [use] = [use for use in classify(policy) if use.term == FEDERATED["leftOperand"]]
    assert (use.level, use.where) == (Enforcement.DECLARED, ())
    assert "A promise of the partner" in use.text["en"]


def test_a_promise_does_not_open_what_a_condition_closes(offer_with: Callable[..., dict]) -> None:
    with pytest.raises(PolicyRefusedError, match="A promise cannot stand in for a condition"):
        require_enforceable(parse_policy(offer_with({"or": [FEDERATED, PURPOSE]})))


BUILT = Policy(PolicyKind.SET, "urn:1", permissions=(Permission("permission/0", POLICY + "query"),))
"""A policy that did not come over the wire, where the reader would have refused what follows."""


@pytest.mark.parametrize(
    ("policy", "term"),
    [
        (replace(BUILT, profiles=("urn:other",)), "urn:other"),
        (replace(BUILT, conflict=Conflict.PERM), ODRL + "conflict"),
        (replace(BUILT, conflict=Conflict.INVALID), ODRL + "conflict"),
        (replace(BUILT, inherits=("urn:parent",)), ODRL + "inheritFrom"),
        *(
            (
                replace(
                    BUILT,
                    permissions=(Permission("permission/0", POLICY + "query", **{role: Scope("urn:x")}),),
                ),
                ODRL + role,
            )
            for role in ("target", "assigner", "assignee")
        ),
        (
            replace(
                BUILT,
                permissions=(
                    Permission("permission/0", POLICY + "query", assignee=Scope("urn:x", collection=True)),
                ),
            ),
            ODRL + "assignee",
        ),
    ],
)
def test_what_nobody_here_keeps_for_a_whole_policy_is_refused_too(policy: Policy, term: str) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        require_enforceable(policy)
    assert refused.value.term == term


def test_a_prohibition_settles_conflicts_and_is_accepted() -> None:
    require_enforceable(replace(BUILT, conflict=Conflict.PROHIBIT))


def test_a_value_that_no_reader_checked_is_refused() -> None:
    wild = Constraint(ODRL + "count", Operator.LTEQ, ("many",))
    limits = Permission("permission/0", POLICY + "query", (wild,))
    with pytest.raises(PolicyRefusedError, match="is not valid"):
        require_enforceable(replace(BUILT, permissions=(limits,)))

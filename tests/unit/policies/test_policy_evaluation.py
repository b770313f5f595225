"""Evaluation: closed world, what is not known does not open, prohibition wins."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from policies.evaluation import Facts, Request, Where, evaluate, evaluate_offer
from policies.model import Policy
from policies.odrl import parse_policy

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FORECAST = POLICY + "LoadForecasting"


def asked(action: str = POLICY + "query", purpose: str | None = FORECAST, **others: str) -> Request:
    return Request(action, "urn:d", others.pop("assignee", "did:web:c"), purpose, **others)


def facts(uses: int | None = 0, now: datetime = NOW, **others: object) -> Facts:
    counted = {} if uses is None else {f"permission/{position}": uses for position in range(3)}
    return Facts(now, counted, **others)


def policy_of(permission: object = (), prohibition: object = (), **members: object) -> Policy:
    rules = {"permission": list(permission), "prohibition": list(prohibition)}
    return parse_policy({"@type": "Set", "@id": "urn:1", "target": "urn:d", **rules, **members})


def compared(left_operand: str, operator: str, *values: str) -> dict:
    right = list(values) if len(values) != 1 else values[0]
    return {"leftOperand": left_operand, "operator": operator, "rightOperand": right}


def permits(*constraints: dict, request: Request | None = None, known: Facts | None = None) -> bool:
    policy = policy_of([{"action": POLICY + "query", "constraint": list(constraints)}])
    return evaluate(policy, request or asked(), known or facts()).permitted


def prohibits(*constraints: dict, request: Request | None = None, known: Facts | None = None) -> bool:
    policy = policy_of([{"action": "use"}], [{"action": "use", "constraint": list(constraints)}])
    return not evaluate(policy, request or asked(), known or facts()).permitted


@pytest.fixture
def demo(demo_offer: dict) -> Policy:
    return parse_policy(demo_offer, default_target="urn:d")


def test_the_demo_offer_permits_a_forecast_and_names_the_permission(demo: Policy) -> None:
    decision = evaluate(demo, asked(), facts())
    assert decision.permitted
    assert decision.permission == demo.permissions[0]
    assert decision.explain("de") == "Erlaubt durch permission/0."


def test_another_purpose_is_refused_with_what_would_be_permitted(demo: Policy) -> None:
    decision = evaluate(demo, asked(purpose=DPV + "Marketing"), facts())
    assert not decision.permitted
    assert decision.permission is None
    assert decision.explain("de") == "Der Zweck „Marketing“ ist nicht erlaubt; erlaubt ist „Lastprognose“."
    assert (
        decision.explain("en") == "The purpose “marketing” is not permitted; permitted is “load forecasting”."
    )
    assert decision.explain("fr") == decision.explain("en")


def test_no_purpose_is_refused_too(demo: Policy) -> None:
    decision = evaluate(demo, asked(purpose=None), facts())
    assert decision.explain("en") == "No purpose is declared; permitted is “load forecasting”."
    assert decision.reasons[0].satisfied is None


def test_the_twentieth_use_is_permitted_and_the_twenty_first_is_not(demo: Policy) -> None:
    assert evaluate(demo, asked(), facts(uses=19)).permitted
    decision = evaluate(demo, asked(), facts(uses=20))
    assert decision.explain("en") == "The agreed uses are used up: At most 20 uses."


def test_a_number_of_uses_that_nobody_counted_is_not_zero(demo: Policy) -> None:
    assert not evaluate(demo, asked(), facts(uses=None)).permitted


@pytest.mark.parametrize(
    ("now", "permitted"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), False),
        (datetime(2026, 1, 1, tzinfo=UTC), True),
        (datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2027, 12, 31, 23, 59, 59, 1, tzinfo=UTC), False),
        (datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), False),
    ],
)
def test_the_time_window_holds_to_the_microsecond_and_in_every_zone(
    demo: Policy, now: datetime, permitted: bool
) -> None:
    assert evaluate(demo, asked(), facts(now=now)).permitted is permitted


def test_a_time_without_a_zone_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        Facts(datetime(2026, 1, 1))  # noqa: DTZ001 - the error under test


def test_only_the_agreed_algorithm_may_compute(demo: Policy) -> None:
    request = asked(POLICY + "compute", algorithm_digest="a" * 64)
    assert evaluate(demo, request, facts()).permitted
    for digest in ("b" * 64, None):
        refused = Request(POLICY + "compute", "urn:d", "did:web:c", FORECAST, digest)
        assert not evaluate(demo, refused, facts()).permitted


@pytest.mark.parametrize(
    "action", [ODRL + "reproduce", ODRL + "extract", ODRL + "use", ODRL + "read", "urn:other"]
)
def test_what_no_permission_opens_is_refused(demo: Policy, action: str) -> None:
    assert not evaluate(demo, asked(action), facts()).permitted


def test_another_dataset_is_refused(demo: Policy) -> None:
    request = Request(POLICY + "query", "urn:other", "did:web:c", FORECAST)
    assert "urn:other" in evaluate(demo, request, facts()).explain("de")


def test_an_offer_without_a_target_permits_nothing(demo_offer: dict) -> None:
    assert not evaluate(parse_policy(demo_offer), asked(), facts()).permitted


def test_an_agreement_is_for_its_assignee_only() -> None:
    policy = policy_of(
        [{"action": "use"}], **{"@type": "Agreement", "assigner": "did:web:p", "assignee": "did:web:c"}
    )
    assert evaluate(policy, asked(), facts()).permitted
    decision = evaluate(policy, asked(assignee="did:web:other"), facts())
    assert decision.explain("en") == "The policy is not for did:web:other."


def test_a_permission_to_use_opens_what_is_included_in_it() -> None:
    policy = policy_of([{"action": "use"}])
    assert evaluate(policy, asked(), facts()).permitted
    assert evaluate(policy, asked(POLICY + "compute"), facts()).permitted
    assert not evaluate(policy, asked(ODRL + "transfer"), facts()).permitted


def test_a_prohibition_wins_over_a_permission_and_names_itself() -> None:
    policy = policy_of([{"action": "use"}], [{"action": POLICY + "query"}])
    decision = evaluate(policy, asked(), facts())
    assert decision.explain("de") == "Verboten ist: Abfragen."
    assert decision.reasons[0].rule == "prohibition/0"
    assert evaluate(policy, asked(POLICY + "compute"), facts()).permitted


# left operand holds / does not hold / is not known  ->  permission open, prohibition in force
ASYMMETRY = [
    (DPV + "Marketing", True, True),
    (DPV + "AcademicResearch", False, False),
    (None, False, True),
    ("https://example.org/unheard-of", False, True),
]


@pytest.mark.parametrize(("purpose", "opens", "forbids"), ASYMMETRY)
def test_what_is_not_known_neither_opens_a_permission_nor_lifts_a_prohibition(
    purpose: str | None, opens: bool, forbids: bool
) -> None:
    constraint = compared("purpose", "isA", DPV + "Marketing")
    assert permits(constraint, request=asked(purpose=purpose)) is opens
    assert prohibits(constraint, request=asked(purpose=purpose)) is forbids


def test_none_of_and_unequal_are_not_true_for_a_missing_purpose() -> None:
    for operator in ("isNoneOf", "neq"):
        constraint = compared("purpose", operator, DPV + "Marketing")
        assert not permits(constraint, request=asked(purpose=None))
        assert permits(constraint, request=asked(purpose=DPV + "AcademicResearch"))
        assert not permits(constraint, request=asked(purpose=DPV + "Marketing"))


def test_a_prohibited_purpose_is_hit_through_its_second_parent() -> None:
    constraint = compared("purpose", "isA", DPV + "CommercialPurpose")
    assert prohibits(constraint, request=asked(purpose=DPV + "CommercialResearch"))
    assert not prohibits(constraint, request=asked(purpose=DPV + "NonCommercialResearch"))


PURPOSES = [
    # operator, right operands, purpose, expected
    ("eq", [DPV + "ResearchAndDevelopment"], DPV + "ResearchAndDevelopment", True),
    ("eq", [DPV + "ResearchAndDevelopment"], DPV + "CommercialResearch", False),
    ("isA", [DPV + "ResearchAndDevelopment"], DPV + "ResearchAndDevelopment", True),
    ("isA", [DPV + "ResearchAndDevelopment"], DPV + "CommercialResearch", True),
    ("isA", [DPV + "CommercialResearch"], DPV + "ResearchAndDevelopment", False),
    ("isA", [DPV + "ServiceProvision"], FORECAST, True),
    ("isA", [DPV + "Purpose"], FORECAST, True),
    ("isAnyOf", [DPV + "Marketing", POLICY + "GridOperation"], FORECAST, True),
    ("isAnyOf", [DPV + "Marketing", DPV + "PublicBenefit"], FORECAST, False),
    ("isNoneOf", [DPV + "Marketing", POLICY + "GridOperation"], FORECAST, False),
    ("isNoneOf", [DPV + "Marketing", DPV + "PublicBenefit"], FORECAST, True),
    ("isPartOf", [DPV + "ServiceProvision"], FORECAST, False),
    ("isA", ["https://example.org/own"], "https://example.org/own", True),
]


@pytest.mark.parametrize(("operator", "wanted", "purpose", "expected"), PURPOSES)
def test_purposes_compare_along_the_hierarchy(
    operator: str, wanted: list, purpose: str | None, expected: object
) -> None:
    assert permits(compared("purpose", operator, *wanted), request=asked(purpose=purpose)) is expected


NESTED = [
    ({"or": ["T", "F"]}, True),
    ({"or": ["F", "U"]}, False),
    ({"or": ["T", "U"]}, True),
    ({"and": ["T", "T"]}, True),
    ({"and": ["T", "U"]}, False),
    ({"xone": ["T", "F"]}, True),
    ({"xone": ["T", "T"]}, False),
    ({"xone": ["T", "U"]}, False),
    ({"andSequence": ["T", "T"]}, True),
    ({"andSequence": ["T", "F"]}, False),
    ({"or": [{"and": ["T", "T"]}, "F"]}, True),
    ({"xone": [{"or": ["T", "F"]}, {"and": ["T", "F"]}]}, True),
]


def _built(shape: object) -> dict:
    words = {
        "T": compared(POLICY + "assignee", "eq", "did:web:c"),
        "F": compared(POLICY + "assignee", "eq", "did:web:other"),
        "U": compared("spatial", "eq", "DE"),
    }
    if isinstance(shape, str):
        return words[shape]
    [(connective, operands)] = shape.items()
    return {connective: [_built(operand) for operand in operands]}


@pytest.mark.parametrize(("shape", "expected"), NESTED, ids=[str(case[0]) for case in NESTED])
def test_logical_constraints_nest(shape: object, expected: object) -> None:
    assert permits(_built(shape)) is expected


def test_a_refused_logical_constraint_is_explained() -> None:
    policy = policy_of([{"action": "use", "constraint": [_built({"or": ["F", "U"]})]}])
    assert "At least one of: (partner equals did:web:other; place of use equals DE)" in evaluate(
        policy, asked(), facts()
    ).explain("en")


def test_limits_on_results_do_not_decide_and_say_that_they_come_later(demo: Policy) -> None:
    reasons = {reason.left_operand: reason for reason in evaluate(demo, asked(), facts()).reasons}
    for name in ("queryClass", "groupUnit", "minGroupSize", "minGroupRows"):
        assert reasons[POLICY + name].satisfied is True
        assert reasons[POLICY + name].later
    assert not reasons[ODRL + "purpose"].later


def test_a_duty_is_a_precondition() -> None:
    policy = policy_of([{"action": "use", "duty": [{"action": "inform"}]}])
    assert not evaluate(policy, asked(), facts()).permitted
    assert evaluate(policy, asked(), facts(fulfilled=frozenset({"permission/0/duty/0"}))).permitted


def test_a_refinement_narrows_like_a_constraint() -> None:
    refined = {"@id": "use", "refinement": [compared("purpose", "isA", DPV + "Marketing")]}
    policy = policy_of([{"action": refined}])
    assert not evaluate(policy, asked(), facts()).permitted
    assert evaluate(policy, asked(purpose=DPV + "Advertising"), facts()).permitted


def test_of_two_permissions_the_one_that_holds_opens() -> None:
    narrow = {"action": "use", "constraint": [compared("purpose", "isA", DPV + "Marketing")]}
    decision = evaluate(policy_of([narrow, {"action": POLICY + "query"}]), asked(), facts())
    assert decision.permission is not None
    assert decision.permission.identifier == "permission/1"


def test_an_offer_may_be_negotiated_before_its_time_but_not_after_it(demo: Policy) -> None:
    early, late = datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    assert evaluate_offer(demo, "did:web:c", FORECAST, facts(None, early)).permitted
    assert not evaluate_offer(demo, "did:web:c", FORECAST, facts(None, late)).permitted


def test_an_offer_may_be_negotiated_without_a_purpose_but_not_for_another_one(demo: Policy) -> None:
    assert evaluate_offer(demo, "did:web:c", None, facts(None)).permitted
    decision = evaluate_offer(demo, "did:web:c", DPV + "Marketing", facts(None))
    assert "permitted is “load forecasting”" in decision.explain("en")


def test_an_offer_for_named_partners_is_not_negotiable_for_others(offer_with: Callable[..., dict]) -> None:
    offer = parse_policy(
        offer_with(compared(POLICY + "assignee", "isAnyOf", "did:web:a", "did:web:b")), default_target="urn:d"
    )
    assert evaluate_offer(offer, "did:web:a", None, facts(None)).permitted
    assert not evaluate_offer(offer, "did:web:c", None, facts(None)).permitted


def test_an_offer_that_permits_nothing_cannot_be_negotiated() -> None:
    assert not evaluate_offer(policy_of((), [{"action": "use"}]), "did:web:c", None, facts()).permitted


def test_the_use_that_was_counted_at_access_may_be_released(demo: Policy) -> None:
    assert evaluate(demo, asked(), facts(uses=20), at=Where.RELEASE).permitted
    late = facts(uses=20, now=datetime(2028, 1, 1, tzinfo=UTC))
    assert not evaluate(demo, asked(), late, at=Where.RELEASE).permitted

"""What is measured: purposes along their hierarchy, places, times since something, and what is unknown."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.circumstances import CalendarEvent, Circumstances
from policies.dpv import DPV_PURPOSES
from policies.facts import Facts, Partner, Request
from policies.left_operands import LEFT_OPERANDS
from policies.model import Constraint, Operator
from policies.operands import MEASURES, holds, measured
from policies.places import is_within
from policies.purposes import PURPOSES, is_a

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
RULE = "permission/0"
REQUEST = Request(POLICY + "query", "urn:data", "did:web:partner")


def truth(
    facts: Facts, left_operand: str, operator: str, *values: str, request: Request = REQUEST
) -> bool | None:
    constraint = Constraint(left_operand, Operator(operator), values)
    return holds(constraint, measured(left_operand, request, facts, RULE))


# purposes

BROADER = [
    ("CommercialResearch", "ResearchAndDevelopment"),
    ("CommercialResearch", "CommercialPurpose"),
    ("CommercialResearch", "Purpose"),
    ("TargetedAdvertising", "Marketing"),
    ("TargetedAdvertising", "Personalisation"),
    ("MaintainFraudDatabase", "EnforceSecurity"),
    ("PersonnelPerformanceMonitoring", "HumanResourceManagement"),
    ("RecruitmentTargetedAdvertising", "PersonnelHiring"),
    ("ImproveInternalCRMProcesses", "ServiceOptimisation"),
    ("ProvideEventRecommendations", "ServiceProvision"),
    ("CombatClimateChange", "PublicBenefit"),
]
NOT_BROADER = [
    ("ResearchAndDevelopment", "CommercialResearch"),
    ("AcademicResearch", "CommercialPurpose"),
    ("Advertising", "Personalisation"),
    ("VendorPayment", "PaymentManagement"),
]


@pytest.mark.parametrize(("narrower", "wider"), BROADER)
def test_a_purpose_is_a_kind_of_each_of_its_parents(narrower: str, wider: str) -> None:
    assert is_a(DPV + narrower, DPV + wider) is True


@pytest.mark.parametrize(("narrower", "wider"), NOT_BROADER)
def test_a_purpose_is_no_kind_of_a_narrower_or_unrelated_one(narrower: str, wider: str) -> None:
    assert is_a(DPV + narrower, DPV + wider) is False


def test_the_purposes_of_dpv_are_complete_and_named_in_two_languages() -> None:
    assert len(DPV_PURPOSES) == len({term for term, _, _, _ in DPV_PURPOSES}) == 119
    tops = [term for term, parents, _, _ in DPV_PURPOSES if not parents]
    assert tops == ["Purpose"]
    assert all(de.strip() and en.strip() for _, _, de, en in DPV_PURPOSES)
    assert len({de for _, _, de, _ in DPV_PURPOSES}) == 119


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_purpose_leads_up_to_the_top(purpose: str) -> None:
    assert is_a(purpose, DPV + "Purpose") is True


def test_a_prohibited_parent_hits_a_purpose_with_several() -> None:
    request = Request(POLICY + "query", "urn:data", "did:web:partner", DPV + "CommercialResearch")
    facts = Facts(NOW)
    assert truth(facts, ODRL + "purpose", "isA", DPV + "CommercialPurpose", request=request) is True
    assert truth(facts, ODRL + "purpose", "isNoneOf", DPV + "CommercialPurpose", request=request) is False


# places

WITHIN = [
    ("DE", "DE", True),
    ("DE11", "DE1", True),
    ("DE111", "DE", True),
    ("DE1", "DE2", False),
    ("FR1", "DE", False),
    ("DE", "DE1", None),
    ("EL30", "GR", True),
    ("GR", "EL", True),
    ("UKM", "GB", True),
    ("Germany", "DE", None),
    ("DE", "http://ontologi.es/place/DE", None),
    ("de", "DE", None),
]


@pytest.mark.parametrize(("place", "area", "expected"), WITHIN)
def test_a_region_lies_in_its_country(place: str, area: str, expected: bool | None) -> None:
    assert is_within(place, area) is expected


def test_the_place_of_use_is_compared_by_containment() -> None:
    facts = Facts(NOW, place="DE11")
    assert truth(facts, ODRL + "spatial", "isPartOf", "DE") is True
    assert truth(facts, ODRL + "spatial", "isAnyOf", "FR", "DE1") is True
    assert truth(facts, ODRL + "spatial", "isNoneOf", "DE") is False
    assert truth(facts, ODRL + "spatial", "isNoneOf", "FR") is True
    assert truth(facts, ODRL + "spatial", "eq", "DE") is False
    assert truth(Facts(NOW, place="DE"), ODRL + "spatial", "isNoneOf", "DE1") is None


# times since something


def test_time_counts_from_the_agreement_on() -> None:
    facts = Facts(NOW, started=NOW - timedelta(days=30))
    assert truth(facts, ODRL + "elapsedTime", "lteq", "P30D") is True
    assert truth(facts, ODRL + "elapsedTime", "lt", "P30D") is False
    assert truth(facts, ODRL + "elapsedTime", "lteq", "PT719H59M59S") is False
    assert truth(facts, ODRL + "delayPeriod", "gteq", "P30D") is True
    assert truth(facts, ODRL + "delayPeriod", "gt", "P30D") is False


def test_time_between_uses_counts_from_the_last_one() -> None:
    last = Facts(NOW, last_used={RULE: NOW - timedelta(hours=5)})
    assert truth(last, ODRL + "timeInterval", "gteq", "PT5H") is True
    assert truth(last, ODRL + "timeInterval", "gteq", "P1D") is False
    assert truth(Facts(NOW, last_used={RULE: None}), ODRL + "timeInterval", "gteq", "P99999D") is True
    assert truth(Facts(NOW), ODRL + "timeInterval", "gteq", "PT1S") is None


def test_metered_time_is_counted_per_rule() -> None:
    facts = Facts(NOW, metered={RULE: timedelta(minutes=59), "permission/1": timedelta(hours=9)})
    assert truth(facts, ODRL + "meteredTime", "lteq", "PT1H") is True
    assert truth(facts, ODRL + "meteredTime", "lt", "PT59M") is False


# parties


def test_the_result_goes_to_whoever_asks_unless_somebody_else_is_named() -> None:
    facts = Facts(NOW)
    assert truth(facts, ODRL + "recipient", "eq", "did:web:partner") is True
    elsewhere = Request(POLICY + "query", "urn:data", "did:web:partner", recipient="did:web:other")
    assert truth(facts, ODRL + "recipient", "eq", "did:web:partner", request=elsewhere) is False
    assert truth(facts, ODRL + "recipient", "isNoneOf", "did:web:other", request=elsewhere) is False


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("eq", ("urn:auditor",), True),
        ("eq", ("urn:nurse",), False),
        ("neq", ("urn:nurse",), True),
        ("isAnyOf", ("urn:nurse", "urn:engineer"), True),
        ("isAllOf", ("urn:auditor", "urn:engineer"), True),
        ("isAllOf", ("urn:auditor", "urn:nurse"), False),
        ("isNoneOf", ("urn:nurse",), True),
        ("isNoneOf", ("urn:engineer",), False),
        ("gteq", ("urn:auditor",), None),
    ],
)
def test_a_role_is_looked_for_among_all_that_somebody_has(
    operator: str, values: tuple[str, ...], expected: bool | None
) -> None:
    facts = Facts(NOW, partner=Partner(roles=frozenset({"urn:auditor", "urn:engineer"})))
    assert truth(facts, POLICY + "role", operator, *values) is expected


def test_to_be_known_to_have_no_role_is_not_to_be_unknown() -> None:
    assert truth(Facts(NOW, partner=Partner()), POLICY + "role", "isNoneOf", "urn:nurse") is True
    assert truth(Facts(NOW), POLICY + "role", "isNoneOf", "urn:nurse") is None


CX = "https://w3id.org/catenax/2025/9/policy/"
KNOWN_PARTNER = Partner(
    organisation="urn:org",
    memberships=frozenset({"urn:cooperative"}),
    security_levels=frozenset({"urn:level:1", "urn:level:2"}),
    seat="DE12",
    catena_x_member=True,
    business_partner_number="BPNL00000000002Z",
    business_partner_groups=frozenset({"gold"}),
    framework_agreements=frozenset({"DataExchangeGovernance:1.0"}),
)
OF_A_PARTNER = [
    (POLICY + "organisation", "eq", "urn:org", True),
    (POLICY + "organisation", "isNoneOf", "urn:org", False),
    (POLICY + "membership", "eq", "urn:cooperative", True),
    (POLICY + "membership", "eq", "urn:other", False),
    (POLICY + "securityLevel", "isAllOf", "urn:level:2", True),
    (POLICY + "securityLevel", "eq", "urn:level:3", False),
    (POLICY + "seat", "isPartOf", "DE", True),
    (POLICY + "seat", "isAnyOf", "FR", False),
    (POLICY + "seat", "isNoneOf", "DE1", False),
    (CX + "Membership", "eq", "active", True),
    (CX + "BusinessPartnerNumber", "isAnyOf", "BPNL00000000002Z", True),
    (CX + "BusinessPartnerNumber", "isNoneOf", "BPNL00000000003X", True),
    (CX + "BusinessPartnerGroup", "isAnyOf", "gold", True),
    (CX + "BusinessPartnerGroup", "isNoneOf", "gold", False),
    (CX + "FrameworkAgreement", "eq", "DataExchangeGovernance:1.0", True),
    (CX + "FrameworkAgreement", "eq", "DataExchangeGovernance:2.0", False),
]


@pytest.mark.parametrize(("term", "operator", "value", "expected"), OF_A_PARTNER)
def test_what_the_provider_vouches_for_is_compared_and_of_anyone_else_nothing_is_known(
    term: str, operator: str, value: str, expected: bool
) -> None:
    here = Circumstances(partners={"did:web:partner": KNOWN_PARTNER})
    assert truth(here.facts(NOW, "did:web:partner"), term, operator, value) is expected
    assert truth(here.facts(NOW, "did:web:stranger"), term, operator, value) is None


BY_CREDENTIALS = Partner(
    memberships=frozenset({"urn:coop"}), roles=frozenset({"urn:forecaster"}), complete=False
)
SHOWN = [
    # what is shown is true, what is not shown is unknown and never false
    (POLICY + "membership", "eq", ("urn:coop",), True),
    (POLICY + "membership", "isAnyOf", ("urn:coop", "urn:club"), True),
    (POLICY + "membership", "isAllOf", ("urn:coop", "urn:club"), None),
    (POLICY + "membership", "isNoneOf", ("urn:coop", "urn:club"), False),
    (POLICY + "membership", "isNoneOf", ("urn:club",), None),
    (POLICY + "role", "eq", ("urn:forecaster",), True),
    (POLICY + "role", "isNoneOf", ("urn:trader",), None),
    (POLICY + "securityLevel", "eq", ("urn:audited",), None),
    (POLICY + "organisation", "isNoneOf", ("urn:o",), None),
    (CX + "Membership", "eq", ("active",), None),
    (CX + "BusinessPartnerGroup", "isNoneOf", ("gold",), None),
]


@pytest.mark.parametrize(("term", "operator", "values", "expected"), SHOWN)
def test_what_a_partner_does_not_show_is_unknown(
    term: str, operator: str, values: tuple[str, ...], expected: bool | None
) -> None:
    here = Circumstances(proofs=lambda partner, _: BY_CREDENTIALS if partner == "did:web:partner" else None)
    assert truth(here.facts(NOW, "did:web:partner"), term, operator, *values) is expected
    assert truth(here.facts(NOW, "did:web:stranger"), term, operator, *values) is None


@pytest.mark.parametrize("term", [POLICY + "organisation", POLICY + "seat", CX + "BusinessPartnerNumber"])
def test_what_is_missing_in_the_register_is_unknown_and_not_none(term: str) -> None:
    assert truth(Facts(NOW, partner=Partner()), term, "isNoneOf", "XX") is None


def test_who_is_known_not_to_be_a_member_of_catena_x_is_none() -> None:
    assert truth(Facts(NOW, partner=Partner()), CX + "Membership", "eq", "active") is False


# events

FAIR = CalendarEvent("fair", NOW - timedelta(days=1), NOW + timedelta(days=1))
AGAIN = CalendarEvent("fair", NOW + timedelta(days=365), NOW + timedelta(days=367))
STORM = CalendarEvent("storm", NOW + timedelta(hours=1), NOW + timedelta(hours=2))
CALENDAR = Circumstances(calendar=(FAIR, AGAIN, STORM))


@pytest.mark.parametrize(
    ("operator", "names", "expected"),
    [
        ("eq", ("fair",), True),
        ("eq", ("storm",), False),
        ("eq", ("elsewhere",), None),
        ("isAnyOf", ("storm", "fair"), True),
        ("isAnyOf", ("storm", "elsewhere"), None),
        ("isNoneOf", ("storm",), True),
        ("isNoneOf", ("storm", "elsewhere"), None),
        ("isNoneOf", ("fair", "elsewhere"), False),
        ("gteq", ("fair",), None),
    ],
)
def test_an_event_goes_on_in_its_time_and_an_unknown_one_is_unknown(
    operator: str, names: tuple[str, ...], expected: bool | None
) -> None:
    facts = CALENDAR.facts(NOW, "did:web:partner")
    assert truth(facts, ODRL + "event", operator, *names) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (FAIR.begins - timedelta(seconds=1), False),
        (FAIR.begins, True),
        (FAIR.ends, True),
        (FAIR.ends + timedelta(seconds=1), False),
        (AGAIN.begins, True),
    ],
)
def test_an_event_has_a_first_and_a_last_moment_and_may_take_place_again(
    moment: datetime, expected: bool
) -> None:
    assert truth(CALENDAR.facts(moment, "did:web:partner"), ODRL + "event", "eq", "fair") is expected


# what is unknown

KNOWN_WITHOUT_A_FACT = {
    ODRL + "dateTime",
    ODRL + "recipient",
    POLICY + "assignee",
    "https://w3id.org/catenax/2025/9/policy/DataUsageEndDate",
}


@given(
    operator=st.sampled_from(Operator),
    left_operand=st.sampled_from(sorted(set(MEASURES) - KNOWN_WITHOUT_A_FACT)),
)
def test_a_fact_that_nobody_handed_in_makes_every_comparison_unknown(
    operator: Operator, left_operand: str
) -> None:
    assert truth(Facts(NOW), left_operand, operator.value, "1") is None


def test_every_measure_belongs_to_a_known_left_operand_that_decides() -> None:
    for left_operand in MEASURES:
        assert not LEFT_OPERANDS[left_operand].restricts


def test_whatever_is_enforced_and_does_not_restrict_is_measured() -> None:
    for term, known in LEFT_OPERANDS.items():
        if known.stations and not known.restricts and not known.declared:
            assert term in MEASURES, term


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        Facts(datetime(2026, 6, 30, 12))  # noqa: DTZ001 - that is the point

"""Catena-X 2025/9: every left operand is classified once, and every published sample is read."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connector.cli import app
from policies.catena_x import with_full_terms
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, Where, evaluate
from policies.explanation import read_to_explain
from policies.facts import Partner
from policies.left_operands import LEFT_OPERANDS
from policies.model import Policy
from policies.odrl import parse_policy
from policies.terms import Enforcement, classify, require_enforceable

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[3] / "shared" / "spec"))
CATENA_X = SPEC / "odrl" / "catena-x"
needs_samples = pytest.mark.skipif(
    not CATENA_X.is_dir(), reason="ALLMENDE_SPEC_DIR holds no Catena-X profile"
)

CX = "https://w3id.org/catenax/2025/9/policy/"
CONTEXT = [CX + "odrl.jsonld", CX + "context.jsonld"]

MEASURED = {"DataUsageEndDate", "DataUsageEndDurationDays"}
REGISTERED = {"Membership", "BusinessPartnerNumber", "BusinessPartnerGroup", "FrameworkAgreement"}
CLAUSES = {
    "AffiliatesBpnl",
    "AffiliatesRegion",
    "ConfidentialInformationMeasures",
    "ConfidentialInformationSharing",
    "ContractReference",
    "ContractTermination",
    "DataFrequency",
    "DataProvisioningEndDate",
    "DataProvisioningEndDurationDays",
    "DataUsageEndDefinition",
    "ExclusiveUsage",
    "JurisdictionLocation",
    "JurisdictionLocationReference",
    "Liability",
    "ManagedLegalEntityBpnl",
    "ManagedLegalEntityRegion",
    "Precedence",
    "UsagePurpose",
    "UsageRestriction",
    "VersionChanges",
    "Warranty",
    "WarrantyDefinition",
    "WarrantyDurationMonths",
}
LEVELS = {
    **dict.fromkeys(MEASURED, Enforcement.ENFORCED),
    **dict.fromkeys(CLAUSES, Enforcement.DECLARED),
    **dict.fromkeys(REGISTERED, Enforcement.ENFORCED),
}


def offer(*constraints: dict[str, Any], rule: str = "permission", **members: Any) -> dict[str, Any]:
    written = {"@context": CONTEXT, "@type": "Set", "@id": "urn:uuid:1", **members}
    return {**written, rule: [{"action": "use", "constraint": list(constraints)}]}


def sample(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CATENA_X / "samples" / name).read_text(encoding="utf-8"))
    return document


def samples() -> list[str]:
    return sorted(path.name for path in (CATENA_X / "samples").glob("*.json"))


def constants(value: Any, key: str) -> set[str]:
    """Collect what the schemas allow for a property."""
    if isinstance(value, list):
        return set().union(*(constants(member, key) for member in value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*(constants(member, key) for member in value.values()))
    stated = value.get(key, {})
    if isinstance(stated, dict):
        found |= {stated["const"]} if "const" in stated else set(stated.get("enum", ()))
    return found


@needs_samples
def test_every_left_operand_of_the_schemas_is_classified_once() -> None:
    paths = (CATENA_X / "constraint").glob("*.json")
    published = set().union(*(constants(json.loads(path.read_text()), "leftOperand") for path in paths))
    assert published == set(LEVELS)
    assert len(MEASURED) + len(CLAUSES) + len(REGISTERED) == len(LEVELS)
    assert {term.removeprefix(CX) for term in LEFT_OPERANDS if term.startswith(CX)} == published


@needs_samples
def test_every_operator_of_the_schemas_is_known() -> None:
    for path in (CATENA_X / "constraint").glob("*.json"):
        schema = json.loads(path.read_text())
        [name] = constants(schema, "leftOperand")
        stations = LEFT_OPERANDS[CX + name].stations
        assert {operator.value for operator in stations} == constants(schema, "operator"), name


@needs_samples
@pytest.mark.parametrize("name", samples() if CATENA_X.is_dir() else [])
def test_every_sample_is_read_and_classified(name: str) -> None:
    document = sample(name)
    if "leftOperand" in document:
        document = offer(document)
    uses = classify(read_to_explain(document).policy)
    for use in uses:
        if use.term.startswith(CX) and use.term != CX + "access":
            expected = LEVELS[use.term.removeprefix(CX)]
            # What stands in an obligation, a promise already, is no lock; nothing is one on `access`.
            refused = {Enforcement.REFUSED} if name == "access-policy.json" else set()
            assert use.level in {expected, Enforcement.DECLARED, *refused}, use.term
    assert any(use.term.startswith(CX) for use in uses)
    assert all(use.text["de"] and use.text["en"] for use in uses)


@needs_samples
@pytest.mark.parametrize("name", samples() if CATENA_X.is_dir() else [])
def test_the_command_explains_a_policy_and_says_that_a_constraint_is_none(name: str) -> None:
    shown = CliRunner().invoke(app, ["policy", "explain", str(CATENA_X / "samples" / name)])
    if "leftOperand" in sample(name):
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert "This is a single constraint and no policy" in shown.stderr
    else:
        assert (shown.exit_code, shown.stderr) == (0, "")


ACCEPTED = [
    "usage-policy-sample.json",
    "usage-policy-individual-constraints-sample.json",
    "usage-policy-comprehensive-sample.json",
]


@needs_samples
def test_there_are_33_samples_and_the_usage_policies_are_accepted() -> None:
    assert len(samples()) == 33
    for name in ACCEPTED:
        require_enforceable(parse_policy(with_full_terms(sample(name))))


@needs_samples
def test_the_access_policy_is_refused_by_the_name_of_its_action() -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(with_full_terms(sample("access-policy.json")))
    assert refused.value.term == CX + "access"


WHO = [
    ("Membership", "eq", "active", Partner(catena_x_member=True)),
    (
        "BusinessPartnerNumber",
        "isAnyOf",
        ["BPNL012345678910"],
        Partner(business_partner_number="BPNL012345678910"),
    ),
    (
        "BusinessPartnerGroup",
        "isAnyOf",
        ["gold", "silver"],
        Partner(business_partner_groups=frozenset({"gold"})),
    ),
    (
        "FrameworkAgreement",
        "eq",
        "DataExchangeGovernance:1.0",
        Partner(framework_agreements=frozenset({"DataExchangeGovernance:1.0"})),
    ),
]


@pytest.mark.parametrize(("name", "operator", "value", "partner"), WHO)
@pytest.mark.parametrize("station", [Where.NEGOTIATION, Where.START, Where.ACCESS, Where.RELEASE])
def test_who_the_partner_is_in_catena_x_is_answered_by_the_providers_own_register(
    name: str, operator: str, value: Any, partner: Partner, station: Where
) -> None:
    policy = agreement({"leftOperand": name, "operator": operator, "rightOperand": value})
    request = Request("https://w3id.org/allmende/policy/v1#query", "urn:data", "did:web:b")
    for known, expected in ((partner, True), (Partner(), False), (None, False)):
        facts = Facts(datetime(2026, 6, 1, tzinfo=UTC), partner=known)
        assert evaluate(policy, request, facts, at=station).permitted is expected


CONTRACT = {"leftOperand": "ContractReference", "operator": "isAllOf", "rightOperand": ["ID-1"]}


def test_a_clause_stands_in_for_no_condition() -> None:
    condition = {
        "leftOperand": "purpose",
        "operator": "isA",
        "rightOperand": "https://w3id.org/dpv#Marketing",
    }
    require_enforceable(parse_policy(with_full_terms(offer({"and": [CONTRACT, condition]}))))
    with pytest.raises(PolicyRefusedError, match="A promise cannot stand in for a condition"):
        require_enforceable(parse_policy(with_full_terms(offer({"or": [CONTRACT, condition]}))))


def test_a_prohibition_that_depends_on_a_clause_is_a_promise_as_a_whole() -> None:
    restriction = {"leftOperand": "UsageRestriction", "operator": "isAllOf", "rightOperand": ["cx.a:1"]}
    policy = parse_policy(with_full_terms(offer(restriction, rule="prohibition")))
    assert {use.level for use in classify(policy)} == {Enforcement.DECLARED}


def agreement(*constraints: dict[str, Any]) -> Policy:
    parties = {"@type": "Agreement", "target": "urn:data", "assigner": "did:web:a", "assignee": "did:web:b"}
    return parse_policy(with_full_terms(offer(*constraints, **parties)))


USE_ENDS = [
    ({"leftOperand": "DataUsageEndDate", "operator": "eq", "rightOperand": "2026-06-03T12:00:00Z"}),
    ({"leftOperand": "DataUsageEndDurationDays", "operator": "eq", "rightOperand": 2}),
]


@pytest.mark.parametrize("constraint", USE_ENDS)
def test_the_end_of_use_is_a_lock_at_each_access_and_each_release(constraint: dict[str, Any]) -> None:
    policy = agreement(constraint, CONTRACT)
    agreed = datetime(2026, 6, 1, 12, tzinfo=UTC)
    request = Request("https://w3id.org/allmende/policy/v1#query", "urn:data", "did:web:b")
    for station in (Where.START, Where.ACCESS, Where.RELEASE):
        for after, expected in ((timedelta(days=2), True), (timedelta(days=2, seconds=1), False)):
            facts = Facts(agreed + after, started=agreed)
            assert evaluate(policy, request, facts, at=station).permitted is expected


def test_what_is_promised_does_not_hold_up_an_access_and_is_called_a_promise() -> None:
    restriction = {"leftOperand": "UsageRestriction", "operator": "isAllOf", "rightOperand": ["cx.a:1"]}
    parties = {"@type": "Agreement", "target": "urn:data", "assigner": "did:web:a", "assignee": "did:web:b"}
    prohibition = [{"action": "use", "constraint": [restriction]}]
    written = with_full_terms({**offer(CONTRACT, **parties), "prohibition": prohibition})
    request = Request("https://w3id.org/allmende/policy/v1#query", "urn:data", "did:web:b")
    decision = evaluate(parse_policy(written), request, Facts(datetime(2026, 6, 1, tzinfo=UTC)))
    assert decision.permitted
    [reason] = decision.reasons
    assert reason.later
    assert reason.text["en"].endswith("This is a promise of the partner.")


def test_short_names_mean_nothing_without_the_catena_x_context() -> None:
    written = {**offer(CONTRACT), "@context": "https://w3id.org/dspace/2025/1/context.jsonld"}
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(with_full_terms(written))
    assert refused.value.term == "http://www.w3.org/ns/odrl/2/ContractReference"


@pytest.mark.parametrize("profile", ["cx-policy:profile2405", CX + "profile2405"])
def test_the_profile_is_known(profile: str) -> None:
    policy = parse_policy(with_full_terms(offer(CONTRACT, profile=profile)))
    assert policy.profiles == (CX + "profile2405",)

"""The compliance report: every rule, premise, constraint and duty, as RDF."""

import json
from datetime import UTC, datetime

import pytest
from pyld import jsonld

from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, assess, evaluate, survey
from policies.odrl import Reading, parse_policy, read_policy
from policies.report import action_named, compliance_report

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
REPORT = "https://w3id.org/force/compliance-report#"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

POLICY = {
    "@type": "Set",
    "@id": "urn:policy",
    "permission": [
        {
            "@id": "urn:rule",
            "action": ["read", "print"],
            "assignee": "urn:alice",
            "constraint": [
                {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2027-01-01T00:00:00Z"},
                {
                    "or": [
                        {"leftOperand": "event", "operator": "eq", "rightOperand": "urn:fair"},
                        {"leftOperand": "industry", "operator": "eq", "rightOperand": "any"},
                    ]
                },
            ],
            "duty": [{"@id": "urn:duty", "action": "pay"}],
        }
    ],
    "prohibition": [{"action": "sell"}],
    "obligation": [{"action": "attribute"}],
}


@pytest.fixture(scope="module")
def written() -> dict:
    policy = read_policy(POLICY, Reading(wide=True))
    decision = assess(policy, Request(ODRL + "read", "urn:d", "urn:alice"), Facts(NOW))
    return compliance_report(policy, decision, identifier="urn:report", created=NOW, request="urn:request")


def reports(document: object, kind: str) -> list[dict]:
    """Every report of one kind, wherever it stands."""
    if isinstance(document, list):
        return [report for member in document for report in reports(member, kind)]
    if not isinstance(document, dict):
        return []
    own = [document] if document.get("@type") == f"report:{kind}" else []
    return own + [report for value in document.values() for report in reports(value, kind)]


def test_the_report_names_policy_request_time_and_answer(written: dict) -> None:
    assert written["@type"] == "report:PolicyReport"
    assert written["report:policy"] == {"@id": "urn:policy"}
    assert written["report:policyRequest"] == {"@id": "urn:request"}
    assert written["dct:created"] == {"@value": "2026-11-21T12:00:00+00:00", "@type": "xsd:dateTime"}
    assert written["allmende:permitted"] == {"@value": "false", "@type": "xsd:boolean"}
    assert {text["@language"] for text in written["dct:description"]} == {"de", "en"}


def test_atomic_rules_point_back_to_the_rule_that_was_written(written: dict) -> None:
    permissions = reports(written, "PermissionReport")
    assert [report["report:rule"]["@id"] for report in permissions] == ["urn:rule", "urn:rule"]
    [prohibition] = reports(written, "ProhibitionReport")
    assert prohibition["report:rule"]["@id"] == "urn:policy#prohibition/0"
    assert prohibition["report:activationState"] == {"@id": "report:Inactive"}


def test_premises_and_constraints_say_whether_they_hold_and_what_was_found(written: dict) -> None:
    first, second = reports(written, "PermissionReport")
    actions = [
        reports(rule, "ActionReport")[0]["report:satisfactionState"]["@id"] for rule in (first, second)
    ]
    assert actions == ["report:Satisfied", "report:Unsatisfied"]
    assert reports(first, "TargetReport") == []
    states = [
        (report["report:satisfactionState"]["@id"], report.get("report:constraintLeftOperand"))
        for report in reports(first, "ConstraintReport")
    ]
    measured = [{"@value": "2026-11-21T12:00:00+00:00", "@type": XSD + "dateTime"}]
    assert states == [
        ("report:Satisfied", measured),
        ("report:Unknown", None),
        ("report:Unknown", []),
        ("report:Unknown", []),
    ]


def test_duties_and_obligations_are_reported_with_how_far_they_have_come(written: dict) -> None:
    duties = reports(written, "DutyReport")
    assert [report["report:rule"]["@id"] for report in duties] == [
        "urn:duty",
        "urn:duty",
        "urn:policy#obligation/0",
    ]
    assert {report["report:deonticState"]["@id"] for report in duties} == {"report:NonSet"}


def test_the_report_is_rdf_and_every_node_has_one_name(written: dict) -> None:
    quads = jsonld.to_rdf(json.loads(json.dumps(written)), {"format": "application/n-quads", "base": None})
    assert f"<urn:report> <{REPORT}policy> <urn:policy> ." in quads
    assert "_:" not in quads
    kinds = ("PolicyReport", "PermissionReport", "ConstraintReport", "ActionReport", "DutyReport")
    names = [report["@id"] for kind in kinds for report in reports(written, kind)]
    assert len(names) == len(set(names))


ACTIONS = [ODRL + "read", ODRL + "print", ODRL + "sell", "https://w3id.org/allmende/policy/v1#query"]
STANDING = [
    # permissions, prohibitions: each an action and, where there is one, its number of uses
    ([("use", None)], []),
    ([("read", None)], [("use", None)]),
    ([("read", "0"), ("print", "3")], [("sell", None)]),
    ([("read", "3"), ("read", "0")], []),
    ([("use", "0"), ("read", None)], [("print", None)]),
    ([("sell", "3")], [("sell", None)]),
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("permitting", "prohibiting"), STANDING)
def test_a_survey_decides_as_the_station_does_and_its_rules_say_why(
    permitting: list, prohibiting: list, action: str, *, known: bool
) -> None:
    def rule(action: str, uses: str | None) -> dict:
        limit = {"leftOperand": "count", "operator": "lteq", "rightOperand": uses}
        return {"action": action, "constraint": [limit] if uses else []}

    policy = parse_policy(
        {
            "@type": "Set",
            "@id": "urn:p",
            "target": "urn:d",
            "permission": [rule(*one) for one in permitting],
            "prohibition": [rule(*one) for one in prohibiting],
        }
    )
    facts = Facts(NOW, uses={rule.identifier: 0 for rule in policy.permissions} if known else {})
    for target in ("urn:d", "urn:other"):
        request = Request(action, target, "did:web:b")
        decided, surveyed = evaluate(policy, request, facts), survey(policy, request, facts)
        assert (surveyed.permitted, surveyed.permission) == (decided.permitted, decided.permission)
        assert surveyed.reasons == decided.reasons
        assert len(surveyed.rules) == len(permitting) + len(prohibiting)
        opened = [finding for finding in surveyed.rules[: len(permitting)] if finding.applies]
        forbidden = [finding for finding in surveyed.rules[len(permitting) :] if finding.applies]
        assert surveyed.permitted is (bool(opened) and not forbidden)


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("query", "https://w3id.org/allmende/policy/v1#query"),
        ("compute", "https://w3id.org/allmende/policy/v1#compute"),
        ("reproduce", ODRL + "reproduce"),
        ("odrl:use", ODRL + "use"),
        (ODRL + "sell", ODRL + "sell"),
    ],
)
def test_an_action_can_be_named_by_a_word_or_an_iri(word: str, action: str) -> None:
    assert action_named(word) == action


@pytest.mark.parametrize("word", ["quary", "", "urn:x", "https://example.org/#query", "\x00"])
def test_an_action_that_does_not_exist_is_refused_by_name(word: str) -> None:
    with pytest.raises(PolicyRefusedError, match=r"unknown|missing"):
        action_named(word)

"""A compliance report in both forms is one graph."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyld import jsonld
from rdflib import RDF, Graph, Namespace, URIRef
from rdflib.compare import isomorphic

from catalog.dcat import TURTLE, serialise
from catalog.rdf import to_graph
from policies.evaluation import Facts, Request, survey
from policies.facts import Partner
from policies.odrl import parse_policy
from policies.report import compliance_report

REPORT = Namespace("https://w3id.org/force/compliance-report#")
POLICY = "https://w3id.org/allmende/policy/v1#"
NOW = datetime(2026, 11, 21, 12, 0, 0, 5, tzinfo=UTC)


def limit(left: str, operator: str, right: Any) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


OFFER = {
    "@type": "Offer",
    "@id": "offer without an IRI, „so“ {named}",
    "target": "urn:d",
    "permission": [
        {
            "action": POLICY + "query",
            "constraint": [
                limit("count", "lteq", {"@value": "02", "@type": "xsd:integer"}),
                limit("purpose", "isA", POLICY + "LoadForecasting"),
                limit("elapsedTime", "lteq", "P30D"),
                limit("event", "eq", "Messe “2027”"),
                {
                    "or": [
                        limit(POLICY + "role", "isAnyOf", ["urn:a", "urn:b"]),
                        limit("spatial", "isPartOf", "DE"),
                    ]
                },
                limit(POLICY + "minGroupSize", "gteq", "5"),
            ],
        }
    ],
    "prohibition": [
        {"action": "sell"},
        {"action": "use", "constraint": [limit("dateTime", "gt", "2027-01-01T00:00:00Z")]},
    ],
    "obligation": [{"action": "attribute"}],
}


def report(**facts: Any) -> Any:
    policy = parse_policy(OFFER)
    asked = Request(POLICY + "query", "urn:d", "a partner", POLICY + "LoadForecasting")
    decision = survey(policy, asked, Facts(NOW, **facts))
    return compliance_report(
        policy, decision, identifier="urn:report", created=NOW, request="urn:report#request", asked=asked
    )


KNOWN: dict[str, Any] = {
    "uses": {"permission/0": 1},
    "started": NOW - timedelta(days=3, seconds=1),
    "partner": Partner(roles=frozenset({"urn:b"})),
    "events": {"Messe “2027”": True, "another": False},
    "place": "DE11",
}


@pytest.mark.parametrize("facts", [{}, KNOWN], ids=["nothing known", "all known"])
def test_the_graph_of_the_turtle_is_the_graph_of_the_json_ld(facts: dict[str, Any]) -> None:
    told = report(**facts)
    turtle = Graph().parse(data=serialise(to_graph(told), TURTLE), format="turtle")
    options = {"format": "application/n-quads", "base": None}
    json_ld = Graph().parse(data=jsonld.to_rdf(json.loads(json.dumps(told)), options), format="nt")
    assert isomorphic(turtle, json_ld)
    assert len(turtle) > 60


def test_every_rule_and_constraint_of_the_policy_is_a_node_that_says_how_it_stands() -> None:
    graph = to_graph(report(**KNOWN))
    kinds = ["PermissionReport", "ProhibitionReport", "ConstraintReport", "DutyReport", "PolicyReport"]
    found = {kind: len(set(graph.subjects(RDF.type, REPORT[kind]))) for kind in kinds}
    assert found == {
        "PermissionReport": 1,
        "ProhibitionReport": 2,
        "ConstraintReport": 9,
        "DutyReport": 1,
        "PolicyReport": 1,
    }
    permission = URIRef("urn:report#permission/0")
    assert graph.value(permission, REPORT.activationState) == REPORT.Active
    states = [
        graph.value(URIRef(f"{permission}/constraint/{position}"), REPORT.satisfactionState)
        for position in range(6)
    ]
    # The smallest group is looked at when a result is released.
    assert states == [*[REPORT.Satisfied] * 5, REPORT.Unknown]


def test_what_is_not_known_is_unknown_and_the_permission_is_inactive() -> None:
    graph = to_graph(report())
    permission = URIRef("urn:report#permission/0")
    assert graph.value(permission, REPORT.activationState) == REPORT.Inactive
    states = [
        graph.value(URIRef(f"{permission}/constraint/{position}"), REPORT.satisfactionState)
        for position in range(4)
    ]
    assert states == [REPORT.Unknown, REPORT.Satisfied, REPORT.Unknown, REPORT.Unknown]


def test_what_was_found_is_written_as_what_it_is() -> None:
    graph = to_graph(report(**KNOWN))
    found = [
        [
            value.n3()
            for value in graph.objects(
                URIRef(f"urn:report#permission/0/constraint/{position}"), REPORT.constraintLeftOperand
            )
        ]
        for position in (2, 3)
    ]
    days = '"P3DT1S"^^<http://www.w3.org/2001/XMLSchema#dayTimeDuration>'
    assert found == [[days], ['"Messe “2027”"']]


def test_no_name_of_a_policy_becomes_anything_but_an_absolute_iri() -> None:
    graph = to_graph(report(**KNOWN))
    names = {str(node) for triple in graph for node in triple if isinstance(node, URIRef)}
    assert [name for name in names if ":" not in name or any(mark in name for mark in ' {}"„')] == []
    assert "urn:allmende:name:a%20partner" in names

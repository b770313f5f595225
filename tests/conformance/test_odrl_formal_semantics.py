"""The nine evaluation examples of the W3C draft "ODRL Formal Semantics", typed as a table.

The draft's files are written by hand and contradict each other in identifiers
(an assignee `billie` who asks as `billie1`, a value written as an identifier),
so the cases are transcribed; where the files lie at ALLMENDE_SPEC_DIR, the
expectations of the table are compared with their reports.

Source:
    w3c/odrl at f86f89b, formal-semantics/examples.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.evaluation import Decision, Facts, Request, assess
from policies.literals import Literal
from policies.odrl import Profile, Reading, read_policy
from policies.world import DutyState, Event, Features, World

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[3] / "shared" / "spec"))
EXAMPLES = SPEC / "odrl" / "w3c-formal-semantics"

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
DAY_OF_WEEK = "https://ex.org/dayOfWeek"
EXAMPLE_PROFILE = "https://ex.org/profile"
READING = Reading(wide=True, profiles={EXAMPLE_PROFILE: Profile(left_operands=frozenset({DAY_OF_WEEK}))})

DOCUMENT = "http://example.com/document/1234"
MUSIC = "http://example.com/music/1999.mp3"
SONY = "http://example.com/party/sony"
BILLIE = "http://example.com/party/billie"
DOTS_PER_INCH = "http://dbpedia.org/resource/Dots_per_inch"
EURO = "http://dbpedia.org/resource/Euro"

A1 = {
    "@type": "Set",
    "uid": "http://example.com/policy/A1",
    "permission": [
        {
            "target": DOCUMENT,
            "assigner": "http://example.com/party/16",
            "action": "distribute",
            "constraint": [
                {
                    "leftOperand": "dateTime",
                    "operator": "lt",
                    "rightOperand": {"@value": "2018-01-01", "@type": "xsd:date"},
                }
            ],
        }
    ],
}
B1 = {
    "@type": "Set",
    "uid": "http://example.com/policy/B1",
    "permission": [
        {
            "target": DOCUMENT,
            "assigner": "http://example.com/party/616",
            "action": [
                {
                    "rdf:value": {"@id": "odrl:print"},
                    "refinement": [
                        {
                            "leftOperand": "resolution",
                            "operator": "lteq",
                            "rightOperand": {"@value": "1200", "@type": "xsd:integer"},
                            "unit": DOTS_PER_INCH,
                        }
                    ],
                }
            ],
        }
    ],
}
PAY_FIVE_EURO = {
    "@id": "http://example.com/condition/1",
    "action": [
        {
            "@id": "http://example.com/action/1",
            "rdf:value": {"@id": "odrl:compensate"},
            "refinement": [
                {
                    "leftOperand": "payAmount",
                    "operator": "eq",
                    "rightOperand": {"@value": "5.00", "@type": "xsd:decimal"},
                    "unit": EURO,
                }
            ],
        }
    ],
}
ON_SUNDAYS = {
    "leftOperand": DAY_OF_WEEK,
    "operator": "eq",
    "rightOperand": {"@value": "Sunday", "@type": "xsd:string"},
}


def music_policy(uid: str, duty: dict) -> dict:
    rule = {"assigner": SONY, "assignee": BILLIE, "target": MUSIC, "action": "play", "duty": [duty]}
    return {"@type": "Agreement", "uid": uid, "profile": EXAMPLE_PROFILE, "permission": [rule]}


C1 = music_policy("http://example.com/policy/C1", PAY_FIVE_EURO)
C2 = music_policy("http://example.com/policy/C2", {**PAY_FIVE_EURO, "constraint": [ON_SUNDAYS]})

PAYMENT = Event(
    datetime(2025, 7, 23, tzinfo=UTC),
    ODRL + "compensate",
    BILLIE,
    SONY,
    Features({ODRL + "payAmount": (Literal("5.00", XSD + "decimal", EURO),)}),
)


def distributing() -> Request:
    return Request(ODRL + "distribute", DOCUMENT, "http://example.com/party/1")


def printing(dots: str) -> Request:
    resolution = Literal(dots, XSD + "integer", DOTS_PER_INCH)
    return Request(
        ODRL + "print", DOCUMENT, "urn:anybody", features=Features({ODRL + "resolution": (resolution,)})
    )


def playing() -> Request:
    return Request(ODRL + "play", MUSIC, BILLIE)


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


ANY_DAY = at(2024, 12, 19, 15)
# case: policy, request, time, day of the week, payments; activation, control, duty
CASES = {
    "A11": (A1, distributing(), at(2017, 12, 19, 15), "", (), True, True, None),
    "A12": (A1, distributing(), at(2019, 12, 19, 15), "", (), False, False, None),
    "B11": (B1, printing("1000"), ANY_DAY, "", (), True, True, None),
    "B12": (B1, printing("1300"), ANY_DAY, "", (), True, False, None),
    "C11": (C1, playing(), at(2025, 7, 25), "", (), False, False, DutyState.DUE),
    "C12": (C1, playing(), at(2025, 7, 25), "", (PAYMENT,), True, True, DutyState.FULFILLED),
    "C21": (C2, playing(), at(2025, 7, 29), "Tuesday", (), True, True, DutyState.INACTIVE),
    "C22": (C2, playing(), at(2025, 8, 3), "Sunday", (), False, False, DutyState.DUE),
    "C23": (C2, playing(), at(2025, 8, 3), "Sunday", (PAYMENT,), True, True, DutyState.FULFILLED),
}
REPORTS = sorted(EXAMPLES.rglob("compliancereport*.json"))


def decided(case: str) -> Decision:
    policy, request, now, day, payments, *_ = CASES[case]
    known = {DAY_OF_WEEK: (Literal(day, XSD + "string"),)} if day else {}
    return assess(
        read_policy(policy, READING), request, Facts(now, world=World(known, events=payments, zone=UTC))
    )


@pytest.mark.parametrize("case", CASES)
def test_the_examples_of_the_formal_semantics(case: str) -> None:
    *_, active, permitted, duty = CASES[case]
    decision = decided(case)
    [rule] = decision.rules
    assert (rule.active, decision.permitted) == (active, permitted)
    assert [finding.state for finding in rule.duties] == ([] if duty is None else [duty])


def test_a_date_without_a_zone_compares_with_nothing_where_no_zone_is_agreed() -> None:
    policy, request, now, *_ = CASES["A11"]
    assert not assess(read_policy(policy, READING), request, Facts(now)).permitted


@pytest.mark.skipif(not REPORTS, reason="the W3C examples are not at ALLMENDE_SPEC_DIR")
def test_every_example_with_a_report_is_in_the_table_as_it_is_reported() -> None:
    found = {}
    for file in REPORTS:
        report = json.loads(file.read_text(encoding="utf-8"))
        [rule] = [value for name, value in report.items() if name.startswith("ex:permissionReport")]
        states = rule["report:activationState"], rule["report:controlState"]
        found[file.parent.name] = (states[0] == "report:Active", states[1] == "report:Permit")
    assert found == {case: (row[5], row[6]) for case, row in CASES.items()}

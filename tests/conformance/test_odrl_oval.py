"""The OVAL cases: a policy and a log of events, which keeps to the policy or does not.

Source:
    DIPS-Tools/ODRL-Engine at 64feb73 (MIT), test_cases/evaluation: every case
    that is handed over. Each has a policy in Turtle, a log in CSV and, in words,
    why the log is valid or not. The columns of a log name left operands, some
    after the action, party or asset that they describe. Its times have no zone.
"""

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rdflib import RDF, Graph, URIRef

from policies.actions import Action
from policies.literals import Literal
from policies.monitoring import Cause, Compliance, monitor
from policies.odrl import Profile, Reading, read_policy
from policies.world import Event, Features, Subject, World
from tests.conformance.odrl_turtle import graph_of, policy_document

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[3] / "shared" / "spec"))
OVAL = SPEC / "odrl" / "oval"
CASES = sorted(file.relative_to(OVAL).with_suffix("") for file in OVAL.glob("*valid/*.csv"))

pytestmark = pytest.mark.skipif(not CASES, reason="the OVAL cases are not at ALLMENDE_SPEC_DIR")

ODRL = "http://www.w3.org/ns/odrl/2/"
PROFILE = Profile(
    actions={ODRL + name: Action(ODRL + "use", {"de": name, "en": name}) for name in ("create", "download")},
    left_operands=frozenset(
        {"http://www.example.com/age", ODRL + "adminLevel", "http://example.com/publicationDate"}
    ),
)
READING = Reading(wide=True, profiles={"http://example.com/odrl:profile:10": PROFILE})
WORLD = World(actions=READING.actions, zone=UTC)
UNTIL = datetime(2026, 1, 12, tzinfo=UTC)

DESCRIBED = {"Action": Subject.ACTION, "Party": Subject.PARTY, "Asset": Subject.ASSET}


def repaired(value: object) -> object:
    """Some policies write the target of a rule into its action; ODRL has no such place."""
    if isinstance(value, list):
        return [repaired(member) for member in value]
    if not isinstance(value, dict):
        return value
    written = {key: repaired(member) for key, member in value.items()}
    if "unit" in written:
        written["unit"] = written["unit"]["@value"]
    if isinstance(written.get("action"), dict) and "target" in written["action"]:
        written["target"] = written["action"].pop("target")
    return written


def policy_of(graph: Graph) -> dict:
    [policy] = graph.subjects(RDF.type, URIRef(ODRL + "Offer"))
    return repaired(policy_document(graph, policy))


def event_of(row: dict[str, str]) -> Event:
    known, narrowed = {}, {subject: {} for subject in Subject}
    for column, value in row.items():
        *described, left_operand = column.split(" ")
        if value and described:
            narrowed[DESCRIBED[described[0].removeprefix(ODRL)]][left_operand] = (Literal(value),)
        elif value:
            known[left_operand] = (Literal(value),)
    at = datetime.fromisoformat(row[ODRL + "dateTime"]).replace(tzinfo=UTC)
    fixed = (row[ODRL + name] for name in ("Action", "Party", "Asset"))
    return Event(at, *fixed, Features(known, narrowed))


def replayed(case: Path) -> Compliance:
    with (OVAL / case).with_suffix(".csv").open(encoding="utf-8") as log:
        events = [event_of(row) for row in csv.DictReader(log)]
    policy = read_policy(policy_of(graph_of((OVAL / case).with_suffix(".ttl"))), READING)
    return monitor(policy, events, until=UNTIL, world=WORLD)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oval(case: Path) -> None:
    compliance = replayed(case)
    assert compliance.complies == (case.parent.name == "valid"), (
        (OVAL / case).with_suffix(".txt").read_text(encoding="utf-8"),
        [infringement.text["en"] for infringement in compliance.infringements],
    )


@pytest.mark.parametrize(
    ("name", "causes"),
    [
        ("invalid/consequence3", [Cause.DUTY_NOT_MET]),
        ("invalid/consequence5", [Cause.DUTY_NOT_MET]),
        ("invalid/count1", [Cause.NOT_PERMITTED] * 4),
        ("invalid/duty1", [Cause.DUTY_NOT_MET]),
        ("invalid/duty4", [Cause.DUTY_NOT_MET, Cause.DUTY_NOT_MET]),
        ("invalid/logic_and1", [Cause.NOT_PERMITTED]),
        ("invalid/logic_nested6", [Cause.NOT_PERMITTED]),
        ("invalid/logic_xone1", [Cause.NOT_PERMITTED]),
        ("invalid/permission2", [Cause.NOT_PERMITTED]),
        ("invalid/policy_level_property2", [Cause.NOT_PERMITTED]),
        ("invalid/prohibition2", [Cause.PROHIBITED]),
        ("invalid/remedy2", [Cause.PROHIBITED]),
        ("invalid/test1", [Cause.NOT_PERMITTED] * 8),
    ],
)
def test_a_log_is_invalid_for_the_reason_that_its_description_gives(name: str, causes: list[Cause]) -> None:
    if Path(name) not in CASES:
        pytest.skip(f"{name} is not at ALLMENDE_SPEC_DIR")
    unsettled = [one for one in replayed(Path(name)).infringements if not one.settled]
    assert [infringement.cause for infringement in unsettled] == causes


def test_a_late_duty_with_its_consequence_settles_the_use_before_it() -> None:
    if Path("valid/consequence1") not in CASES:
        pytest.skip("valid/consequence1 is not at ALLMENDE_SPEC_DIR")
    [infringement] = replayed(Path("valid/consequence1")).infringements
    assert infringement.cause is Cause.DUTY_NOT_MET
    assert infringement.settled

"""The examples of the 25 IDS usage-control classes: each is read, and each term classified."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.errors import PolicyRefusedError
from policies.explanation import read_to_explain
from policies.terms import classify

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[3] / "shared" / "spec"))
EXAMPLES = SPEC / "odrl" / "ids-patterns"
needs_examples = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="ALLMENDE_SPEC_DIR holds no examples of the IDS classes"
)

IDSC = "https://w3id.org/idsa/code/"
IDS = "https://w3id.org/idsa/core/"
ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
PREFIXES = {"idsc:": IDSC, "ids:": IDS, "odrl:": ODRL}


def written_policies(path: Path) -> list[dict[str, Any]]:
    """Read the policies of an example, which is not always JSON.

    Some files hold descriptions beside their policy, have a comma too many or
    too few, or state `permission` twice; what is meant is plain in each.
    """
    text = re.sub(r",(\s*[}\]])", r"\1", path.read_text(encoding="utf-8"))
    text = re.sub(r'("\w+")(\s+"target":)', r"\1,\2", text)
    decoder = json.JSONDecoder(object_pairs_hook=merged)
    found, position = [], 0
    while position < len(text.rstrip()):
        start = position + len(text[position:]) - len(text[position:].lstrip())
        value, position = decoder.raw_decode(text, start)
        found.append(value)
    return [value for value in found if "uid" in value]


def merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members[name] = [*members[name], *value] if name in members else value
    return members


def in_our_form(value: Any) -> Any:
    """Write prefixes out, and leave out what says nothing more.

    `ids:provider` and `ids:consumer` repeat the parties of the rules, and
    `ids:pipEndpoint` is where another connector would ask for what this one
    measures itself. The context only defines the prefixes, and what kind of
    person or organisation a party is changes no rule.
    """
    if isinstance(value, list):
        described = [member for member in value if not str(member).startswith("vcard:")]
        return [in_our_form(member) for member in described]
    if isinstance(value, dict):
        dropped = {"@context", "ids:provider", "ids:consumer", "ids:pipEndpoint"}
        if "rightOperandReference" in value:
            value = {**value, "rightOperandReference": value["rightOperandReference"]["@value"]}
        return {name: in_our_form(member) for name, member in value.items() if name not in dropped}
    if isinstance(value, str):
        for prefix, namespace in PREFIXES.items():
            if value.startswith(prefix):
                return namespace + value.removeprefix(prefix)
    return value


def short(term: str) -> str:
    for prefix, namespace in {**PREFIXES, "": POLICY}.items():
        if term.startswith(namespace):
            return prefix.removeprefix("odrl:") + term.removeprefix(namespace)
    return term


def verdicts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each term of an example with what it is worth here."""
    for document in written_policies(path):
        try:
            uses = classify(read_to_explain(in_our_form(document)).policy)
        except PolicyRefusedError as refusal:
            yield refusal.term, "refused"
        else:
            yield from ((short(use.term), use.level.value) for use in uses)


ENFORCED = {
    "pc9-odrl-restrict-time-interval-example.json": {"assignee", "use", "dateTime"},
    "pc11-odrl-restrict-number-of-usage-example.json": {"assignee", "use", "count"},
}
"""The examples that this connector keeps as they are written, with all of their terms."""

DECLARED = {"pc14-odrl-modify-in-rest-example.json": {"anonymize"}}
"""The examples in which everything but the partner's name is a promise."""

REFUSED = {
    "odrl-complex-policy-example.json": {
        "derive",
        "display",
        "idsc:CONNECTOR",
        "idsc:SECURITY_LEVEL",
        "dateTime",  # without seconds it is no xsd:dateTimeStamp
        "idsc:REPLACE",
    },
    "pc1-odrl-restrict-consumer-example.json": {"distribute"},
    "pc10-odrl-restrict-duration-offer-example.json": {"elapsedTime"},  # eq P3M: one moment only
    "pc12-odrl-delete-data-example.json": {"print", "delete"},
    "pc12-odrl-delete-data-example2.json": {"delete"},
    "pc13-odrl-modify-in-transit-example.json": {"idsc:REPLACE"},
    "pc15-odrl-log-usage-information-example.json": {"idsc:log"},
    "pc16-odrl-notify-party-example.json": {"inform"},
    "pc17-odrl-distribute-next-policy-example.json": {"hasPolicy"},
    "pc18-odrl-restrict-artifact-state-example.json": {"target", "distribute"},
    "pc19-odrl-restrict-payment-sale-example.json": {"read", "compensate"},
    "pc19-odrl-restrict-payment-sale-example2.json": {"read", "payAmount"},
    "pc2-odrl-restrict-connector-example.json": {"derive", "display", "idsc:CONNECTOR"},
    "pc20-odrl-restrict-payment-rent-example.json": {"read", "compensate"},
    "pc20-odrl-restrict-payment-rent-example2.json": {"read", "payAmount"},
    "pc21-odrl-restrict-state-example.json": {"idsc:state"},
    "pc22-odrl-restrict-location-of-participant-example.json": {"assigner", "assignee"},
    "pc23-odrl-obtain-consent-example.json": {"obtainConsent"},
    "pc24-odrl-restrict-data-classification-example.json": {"target", "distribute"},
    "pc25-odrl-anonymize-with-mpc.json": {"idsc:READ", "idsc:MPC", "idsc:QUERY"},
    "pc3-odrl-restrict-application-example.json": {"execute", "display", "idsc:APPLICATION"},
    "pc4-odrl-restrict-user-role-example.json": {"execute", "display", "assignee"},
    "pc4-odrl-restrict-user-role-example2.json": {"execute", "display", "idsc:ROLE"},
    "pc5-odrl-restrict-location-of-usage-example.json": {"spatial"},
    "pc5-odrl-restrict-location-of-usage-example2.json": {"?referenceToAllowedLocations"},
    "pc6-odrl-restrict-purpose-example.json": {"read", "purpose"},  # a word, not an IRI
    "pc6-odrl-restrict-purpose-example2.json": {"read", "purpose"},
    "pc6-odrl-restrict-purpose-example3.json": {"?referenceToAllowedPurposes"},
    "pc7-odrl-restrict-event-example.json": {"read", "event"},
    "pc8-odrl-restrict-security-level-example.json": {"derive", "display", "idsc:SECURITY_LEVEL"},
}
"""The examples with a term that nobody here keeps: each such term, by name."""


@needs_examples
def test_there_are_33_examples_and_each_has_a_verdict() -> None:
    found = {path.name for path in EXAMPLES.glob("*.json")}
    assert found == {*ENFORCED, *DECLARED, *REFUSED}
    assert len(found) == 33


@needs_examples
@pytest.mark.parametrize("name", ENFORCED)
def test_an_example_that_can_be_kept_is_enforced_in_every_term(name: str) -> None:
    assert set(verdicts(EXAMPLES / name)) == {(term, "enforced") for term in ENFORCED[name]}


@needs_examples
@pytest.mark.parametrize("name", DECLARED)
def test_an_example_that_asks_for_a_promise_is_shown_as_one(name: str) -> None:
    found = set(verdicts(EXAMPLES / name))
    assert found == {("assignee", "enforced"), *((term, "declared") for term in DECLARED[name])}


@needs_examples
@pytest.mark.parametrize("name", REFUSED)
def test_an_example_that_cannot_be_kept_is_refused_by_name(name: str) -> None:
    refused = {term for term, level in verdicts(EXAMPLES / name) if level == "refused"}
    assert refused == REFUSED[name]


@needs_examples
def test_every_verdict_is_explained_in_german_and_in_english() -> None:
    for path in EXAMPLES.glob("*.json"):
        for document in written_policies(path):
            try:
                texts = [use.text for use in classify(read_to_explain(in_our_form(document)).policy)]
            except PolicyRefusedError as refusal:
                texts = [refusal.reason]
            assert texts
            assert all(text["de"] and text["en"] and text["de"] != text["en"] for text in texts), path.name

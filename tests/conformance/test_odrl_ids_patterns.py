"""The examples of the 25 IDS usage-control classes: each is explained as published, each term classified.

Eight of the 33 are not JSON; those are repaired before they are read.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connector.cli import app
from policies.errors import PolicyRefusedError
from policies.explanation import read_to_explain
from policies.odrl import parse_policy

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
VCARD = "http://www.w3.org/2006/vcard/ns#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
PREFIXES = {"idsc:": IDSC, "ids:": IDS, "odrl:": ODRL, "vcard:": VCARD, "skos:": SKOS}


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


def short(term: str) -> str:
    for prefix, namespace in {**PREFIXES, "": POLICY}.items():
        if term.startswith(namespace):
            return prefix.removeprefix("odrl:") + term.removeprefix(namespace)
    return term


def policies_of(path: Path) -> list[dict[str, Any]]:
    """The policies of an example: as published, or repaired where it is not JSON."""
    return written_policies(path) if path.name in MALFORMED else [json.loads(path.read_text("utf-8"))]


def verdicts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each term of an example with what it is worth here."""
    for document in policies_of(path):
        yield from ((short(use.term), use.level.value) for use in read_to_explain(document).uses)


def not_understood(path: Path) -> set[str]:
    """What an example holds beside ODRL, going by its text: a context of its own, and properties of IDS."""
    written = path.read_text(encoding="utf-8")
    names = ("ids:provider", "ids:consumer", "ids:pipEndpoint")
    return {"@context", *(name for name in names if f'"{name}"' in written)}


MALFORMED = {
    "pc14-odrl-modify-in-rest-example.json",
    "pc17-odrl-distribute-next-policy-example.json",
    "pc18-odrl-restrict-artifact-state-example.json",
    "pc22-odrl-restrict-location-of-participant-example.json",
    "pc23-odrl-obtain-consent-example.json",
    "pc24-odrl-restrict-data-classification-example.json",
    "pc25-odrl-anonymize-with-mpc.json",
    "pc4-odrl-restrict-user-role-example.json",
}
"""The examples that are not JSON."""

ENFORCED = {
    "pc9-odrl-restrict-time-interval-example.json": {"assignee", "use", "dateTime"},
    "pc11-odrl-restrict-number-of-usage-example.json": {"assignee", "use", "count"},
}
"""The examples whose every term of ODRL this connector keeps as it is written."""

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
        "idsc:REPLACE_WITH",
        "idsc:JSON_PATH",
        "event",
    },
    "pc1-odrl-restrict-consumer-example.json": {"distribute"},
    "pc10-odrl-restrict-duration-offer-example.json": {"elapsedTime"},  # eq P3M: one moment only
    "pc12-odrl-delete-data-example.json": {"print", "delete"},
    "pc12-odrl-delete-data-example2.json": {"delete", "dateTime"},
    "pc13-odrl-modify-in-transit-example.json": {
        "idsc:REPLACE",
        "idsc:REPLACE_WITH",
        "idsc:JSON_PATH",
        "event",
    },
    "pc15-odrl-log-usage-information-example.json": {"idsc:log", "idsc:LOG_LEVEL", "systemDevice"},
    "pc16-odrl-notify-party-example.json": {"inform", "idsc:NOTIFICATION_LEVEL", "informedParty"},
    "pc17-odrl-distribute-next-policy-example.json": {"distribute", "nextPolicy", "hasPolicy"},
    "pc18-odrl-restrict-artifact-state-example.json": {"target", "distribute", "ids:artifact_state"},
    "pc19-odrl-restrict-payment-sale-example.json": {"read", "compensate", "payAmount", "event"},
    "pc19-odrl-restrict-payment-sale-example2.json": {"read", "payAmount"},
    "pc2-odrl-restrict-connector-example.json": {"derive", "display", "idsc:CONNECTOR"},
    "pc20-odrl-restrict-payment-rent-example.json": {"read", "compensate", "payAmount", "event"},
    "pc20-odrl-restrict-payment-rent-example2.json": {"read", "payAmount"},
    "pc21-odrl-restrict-state-example.json": {"idsc:state"},
    "pc22-odrl-restrict-location-of-participant-example.json": {"assigner", "assignee", "vcard:hasGeo"},
    "pc23-odrl-obtain-consent-example.json": {"obtainConsent", "consentingParty", "event"},
    "pc24-odrl-restrict-data-classification-example.json": {"target", "distribute", "skos:concept"},
    "pc25-odrl-anonymize-with-mpc.json": {
        "idsc:READ",
        "idsc:MPC",
        "idsc:MPC_FUNCTION",
        "idsc:QUERY",
        "event",
    },
    "pc3-odrl-restrict-application-example.json": {"execute", "display", "idsc:APPLICATION"},
    "pc4-odrl-restrict-user-role-example.json": {"execute", "display", "assignee", "vcard:hasRole"},
    "pc4-odrl-restrict-user-role-example2.json": {"execute", "display", "idsc:ROLE"},
    "pc5-odrl-restrict-location-of-usage-example.json": {"spatial"},
    "pc5-odrl-restrict-location-of-usage-example2.json": {"spatial", "?referenceToAllowedLocations"},
    "pc6-odrl-restrict-purpose-example.json": {"read", "purpose"},  # a word, not an IRI
    "pc6-odrl-restrict-purpose-example2.json": {"read", "purpose"},
    "pc6-odrl-restrict-purpose-example3.json": {"read", "purpose", "?referenceToAllowedPurposes"},
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
def test_an_example_that_can_be_kept_is_enforced_in_every_term_of_odrl(name: str) -> None:
    path = EXAMPLES / name
    refused = {(term, "refused") for term in not_understood(path)}
    assert set(verdicts(path)) == {*refused, *((term, "enforced") for term in ENFORCED[name])}


@needs_examples
@pytest.mark.parametrize("name", DECLARED)
def test_an_example_that_asks_for_a_promise_is_shown_as_one(name: str) -> None:
    path = EXAMPLES / name
    refused = {(term, "refused") for term in not_understood(path)}
    promised = {(term, "declared") for term in DECLARED[name]}
    assert set(verdicts(path)) == {("assignee", "enforced"), *promised, *refused}


@needs_examples
@pytest.mark.parametrize("name", REFUSED)
def test_an_example_that_cannot_be_kept_is_refused_by_name(name: str) -> None:
    path = EXAMPLES / name
    refused = {term for term, level in verdicts(path) if level == "refused"}
    assert refused == REFUSED[name] | not_understood(path)


@needs_examples
def test_the_command_explains_each_example_as_published_and_says_where_it_is_not_json() -> None:
    for path in sorted(EXAMPLES.glob("*.json")):
        shown = CliRunner().invoke(app, ["policy", "explain", str(path)])
        if path.name in MALFORMED:
            assert (shown.exit_code, shown.stdout) == (2, ""), path.name
            assert "is no policy" in shown.stderr
        else:
            assert (shown.exit_code, shown.stderr) == (0, ""), path.name
            assert "neither published nor accepted" in shown.stdout
            assert all(name in shown.stdout for name in not_understood(path))


@needs_examples
def test_no_example_is_accepted_from_a_partner() -> None:
    for path in EXAMPLES.glob("*.json"):
        for document in policies_of(path):
            with pytest.raises(PolicyRefusedError):
                parse_policy(document)


@needs_examples
def test_every_verdict_is_explained_in_german_and_in_english() -> None:
    for path in EXAMPLES.glob("*.json"):
        for document in policies_of(path):
            texts = [use.text for use in read_to_explain(document).uses]
            assert texts
            assert all(text["de"] and text["en"] and text["de"] != text["en"] for text in texts), path.name

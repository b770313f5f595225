"""Our policies on the wire against the DSP 2025-1 schema, and the DSP's own examples against our reader."""

import json
import os
from pathlib import Path

import jsonschema
import pytest

from policies.errors import PolicyRefusedError
from policies.odrl import parse_policy, write_policy
from policies.terms import require_enforceable

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[3] / "shared" / "spec")) / "dsp"

pytestmark = pytest.mark.skipif(
    not SPEC.is_dir(), reason="the DSP 2025-1 artefacts are not at ALLMENDE_SPEC_DIR"
)

RULES = {
    "permission": [
        {
            "action": POLICY + "query",
            "constraint": [
                {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
                {
                    "or": [
                        {
                            "leftOperand": "purpose",
                            "operator": "isA",
                            "rightOperand": POLICY + "LoadForecasting",
                        },
                        {
                            "leftOperand": "purpose",
                            "operator": "isA",
                            "rightOperand": POLICY + "GridPlanning",
                        },
                    ]
                },
                {
                    "leftOperand": "dateTime",
                    "operator": "lteq",
                    "rightOperand": {
                        "@value": "2027-12-31T23:59:59Z",
                        "@type": "http://www.w3.org/2001/XMLSchema#dateTime",
                    },
                },
                {
                    "leftOperand": POLICY + "allowedColumn",
                    "operator": "isAnyOf",
                    "rightOperand": ["ts", "load_kw"],
                },
            ],
        }
    ],
    "prohibition": [{"action": "reproduce"}],
    "obligation": [{"action": "delete"}],
}


def _load(name: str) -> dict:
    return json.loads((SPEC / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "members",
    [
        {"@type": "Offer"},
        {"@type": "Offer", "target": "urn:d"},
        {"@type": "Agreement", "target": "urn:d", "assigner": "did:web:p", "assignee": "did:web:c"},
    ],
)
def test_a_written_policy_has_the_shape_that_dsp_prescribes(members: dict) -> None:
    document = {"@id": "urn:uuid:1", "profile": "https://w3id.org/allmende/policy/v1", **members, **RULES}
    written = write_policy(parse_policy(document))
    assert {name: written[name] for name in RULES} == RULES
    schema = _load("negotiation/contract-schema.json")
    name = "MessageOffer" if members == {"@type": "Offer", "target": "urn:d"} else members["@type"]
    jsonschema.validate(written, {**schema, "allOf": [{"$ref": f"#/definitions/{name}"}]})


def test_the_example_agreement_of_dsp_is_refused_by_the_name_of_its_profile() -> None:
    agreement = _load("negotiation/example/contract-agreement-message-full.json")["agreement"]
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(agreement)
    assert refused.value.term in {"https://test.com/profile", ODRL + "partner"}


def test_the_example_catalogs_offer_is_refused_by_the_name_of_its_place() -> None:
    """Its place is an IRI of nobody's, where here a country or a region has to stand."""
    [dataset] = _load("catalog/example/catalog.json")["dataset"]
    with pytest.raises(PolicyRefusedError) as refused:
        require_enforceable(parse_policy(dataset["hasPolicy"][0], default_target=dataset["@id"]))
    assert refused.value.term == ODRL + "spatial"

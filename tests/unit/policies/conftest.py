"""The demo's offer and the words that the tests share."""

from collections.abc import Callable
from copy import deepcopy

import pytest

POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
DIGEST = "a" * 64

COMMON = [
    {"leftOperand": "purpose", "operator": "isA", "rightOperand": POLICY + "LoadForecasting"},
    {"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2026-01-01T00:00:00Z"},
    {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"},
    {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"},
]
QUERY_RULE = {
    "action": POLICY + "query",
    "constraint": [
        *COMMON,
        {"leftOperand": POLICY + "queryClass", "operator": "eq", "rightOperand": "aggregate"},
        {"leftOperand": POLICY + "groupUnit", "operator": "eq", "rightOperand": "profile"},
        {"leftOperand": POLICY + "minGroupSize", "operator": "gteq", "rightOperand": "5"},
        {"leftOperand": POLICY + "minGroupRows", "operator": "gteq", "rightOperand": "10"},
    ],
}
COMPUTE_RULE = {
    "action": POLICY + "compute",
    "constraint": [
        *COMMON,
        {"leftOperand": POLICY + "algorithmDigest", "operator": "isAnyOf", "rightOperand": [DIGEST]},
        {
            "leftOperand": POLICY + "allowedColumn",
            "operator": "isAnyOf",
            "rightOperand": ["profile", "sector", "ts", "load_kw"],
        },
        {"leftOperand": POLICY + "outputKind", "operator": "isAnyOf", "rightOperand": ["metrics", "model"]},
        {"leftOperand": POLICY + "outputReview", "operator": "eq", "rightOperand": "auto"},
    ],
}
DEMO_OFFER = {
    "@type": "Offer",
    "@id": "urn:uuid:3dd1add8-4d2d-469e-9634-8394a8836a88",
    "profile": ["https://w3id.org/allmende/policy/v1"],
    "permission": [QUERY_RULE, COMPUTE_RULE],
    "prohibition": [{"action": "reproduce"}],
}


@pytest.fixture
def demo_offer() -> dict:
    return deepcopy(DEMO_OFFER)


@pytest.fixture
def offer_with() -> Callable[..., dict]:
    """Make an offer with one permission to query under the given constraints."""

    def make(*constraints: object, action: object = POLICY + "query", **members: object) -> dict:
        rule = {"action": action, "constraint": list(constraints)}
        return {"@type": "Offer", "@id": "urn:uuid:1", "permission": [rule], **members}

    return make

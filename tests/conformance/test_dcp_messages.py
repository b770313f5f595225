"""Our messages about credentials are valid under the JSON Schemas of DCP 1.0, and its examples are read."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft201909Validator
from referencing import Registry, Resource

from schemas.dcp import (
    DefinitionNotSupportedError,
    presentation_query,
    presentation_response,
    presentations_in,
    scopes_in,
)
from schemas.errors import SchemaError

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[2] / ".." / "shared" / "spec")) / "dcp"
SCOPE = "org.eclipse.dspace.dcp.vc.type:MembershipCredential"
CONTEXT = ["https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"]

needs_schemas = pytest.mark.skipif(
    not SPEC.is_dir(), reason="the DCP schemas are not here; set ALLMENDE_SPEC_DIR"
)
ELSEWHERE = (
    "https://identity.foundation/presentation-exchange/schemas/presentation-definition.json",
    "https://identity.foundation/presentation-exchange/schemas/presentation-submission.json",
)
"""Schemas of another body, which describe what we do not send; they accept anything here."""


def valid(name: str, document: Any) -> bool:
    schemas = [json.loads(path.read_text()) for path in SPEC.glob("*/*-schema.json")]
    resources = [(one["$id"], Resource.from_contents(one)) for one in schemas]
    # The messages name the context schema by another address than it has.
    context = json.loads((SPEC / "common" / "context-schema.json").read_text())
    resources.append(
        ("https://w3id.org/dspace-dcp/v1.0/common/context-schema.json", Resource.from_contents(context))
    )
    anything = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "properties": {"presentation_submission": {}},
    }
    resources += [(address, Resource.from_contents(anything)) for address in ELSEWHERE]
    schema = json.loads((SPEC / "presentation" / f"{name}-schema.json").read_text())
    return Draft201909Validator(schema, registry=Registry().with_resources(resources)).is_valid(document)


@needs_schemas
def test_what_we_ask_and_answer_is_valid() -> None:
    assert valid("presentation-query-message", presentation_query([SCOPE]))
    assert valid("presentation-response-message", presentation_response(["a.b.c"]))
    assert valid("presentation-response-message", presentation_response([]))
    assert not valid("presentation-query-message", presentation_query([]))
    assert not valid(
        "presentation-response-message", {"@context": CONTEXT, "type": "PresentationResponseMessage"}
    )


@needs_schemas
def test_the_examples_of_the_specification_are_read() -> None:
    def example(name: str) -> Any:
        return json.loads((SPEC / "presentation" / "example" / f"{name}.json").read_text())

    assert scopes_in(example("presentation-query-message")) == ("presentation1", "presentation2")
    assert presentations_in(example("presentation-response-message")) == ("presentation1", "presentation2")
    with pytest.raises(DefinitionNotSupportedError):
        scopes_in(example("presentation-query-message-w-presentation-definition"))


QUERY = {"@context": CONTEXT, "type": "PresentationQueryMessage", "scope": [SCOPE]}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        QUERY | {"type": "PresentationResponseMessage"},
        QUERY | {"@context": "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"},
        QUERY | {"@context": ["https://w3id.org/tractusx-trust/v0.8"]},
        QUERY | {"scope": []},
        QUERY | {"scope": SCOPE},
        QUERY | {"scope": [7]},
        QUERY | {"scope": [SCOPE] * 51},
        QUERY | {"presentationDefinition": {}},
        {"@context": CONTEXT, "type": "PresentationQueryMessage"},
    ],
    ids=lambda message: json.dumps(message)[-60:],
)
def test_a_query_in_another_form_is_refused(message: Any) -> None:
    with pytest.raises(SchemaError):
        scopes_in(message)

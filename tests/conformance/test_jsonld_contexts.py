"""Our JSON-LD contexts mean what the published contexts of DSP 2025-1 mean."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyld import jsonld as pyld
from pyld.context_resolver import ContextResolver

from schemas.jsonld import context_document, expand, normalise_message

REPOSITORY = Path(__file__).parents[2]
SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", REPOSITORY.parent / "shared" / "spec")) / "dsp"
needs_spec = pytest.mark.skipif(not SPEC.is_dir(), reason="ALLMENDE_SPEC_DIR holds no DSP artifacts")

DSP = "https://w3id.org/dspace/2025/1/context.jsonld"
PROFILE = "https://w3id.org/dspace/2025/1/odrl-profile.jsonld"
PUBLISHED = {DSP: "dspace.jsonld", PROFILE: "odrl.jsonld"}


def published(url: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SPEC / "context" / PUBLISHED[url]).read_text())
    return document


def published_with_imports_resolved(url: str) -> dict[str, Any]:
    """Resolve `@import` as JSON-LD 1.1 API, section 4.1.2, step 5.6.7 says.

    pyld 3.3 changes its copy of the imported context, so that types which
    import the same one inherit each other's terms.
    """
    document = published(url)
    for definition in document["@context"].values():
        scoped = definition.get("@context", {}) if isinstance(definition, dict) else {}
        if "@import" in scoped:
            imported = published(scoped.pop("@import"))["@context"]
            definition["@context"] = {**imported, **scoped}
    return document


def expanded_officially(document: dict[str, Any], read: Callable[[str], dict[str, Any]] = published) -> Any:
    """Expand with the published files, with nothing shared with our own expansion."""

    def load(url: str, _options: Any) -> dict[str, Any]:
        return {"contentType": None, "contextUrl": None, "documentUrl": url, "document": read(url)}

    options = {"base": None, "documentLoader": load, "contextResolver": ContextResolver({}, load)}
    return pyld.expand(copy.deepcopy(document), options)


def example_messages() -> list[tuple[str, dict[str, Any]]]:
    return [(name, document) for name, document in example_documents() if "did-service" not in name]


def example_documents() -> list[tuple[str, dict[str, Any]]]:
    documents = []
    for path in sorted(SPEC.glob("*/example/*.json")):
        document = json.loads(path.read_text())
        if "did-service" in path.name:
            # The DID context, not DSP's, says that `type` means `@type`.
            document["@type"] = document.pop("type")
        if "@context" in document:
            documents.append((path.stem, {**document, "@context": [DSP]}))
    return documents


def terms_of(url: str) -> dict[str, Any]:
    if not SPEC.is_dir():
        return {}
    return {name: value for name, value in published(url)["@context"].items() if not name.startswith("@")}


def probes() -> list[tuple[str, dict[str, Any]]]:
    """Use every term of every type with a word, an IRI, an abbreviation, an array and an object."""
    types = {name: value["@context"] for name, value in terms_of(DSP).items() if isinstance(value, dict)}
    scoped = {name for terms in types.values() for name in terms if not name.startswith("@")}
    every_name = sorted({*terms_of(DSP), *terms_of(PROFILE), *scoped})
    values: list[Any] = [
        "use",
        "ACCEPTED",
        "relative",
        "https://a.example/b",
        "odrl:use",
        ["use", "x"],
        [],
        {"@id": "use"},
    ]
    nested = {name: {"@type": "Offer", name: "use"} for name in every_name}
    documents = [
        (f"{kind} with {value!r}", {"@context": [DSP], "@type": kind} | dict.fromkeys(every_name, value))
        for kind in types
        for value in values
    ]
    documents += [(f"{kind} with nodes", {"@context": [DSP], "@type": kind, **nested}) for kind in types]
    return documents


def without_identifier_aliases(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a CatalogService reads as `@id` and `@type`."""
    return {key: value for key, value in document.items() if key not in {"id", "type"}}


@needs_spec
@pytest.mark.parametrize(("name", "document"), example_documents())
def test_every_published_example_means_the_same_under_our_context(
    name: str, document: dict[str, Any]
) -> None:
    ours = expand(document)
    assert ours, name
    assert ours == expanded_officially(document)


@needs_spec
def test_every_term_of_every_type_means_the_same_under_our_context() -> None:
    documents = probes()
    assert len(documents) > 200
    for name, probe in documents:
        document = without_identifier_aliases(probe)
        assert expand(document) == expanded_officially(document, published_with_imports_resolved), name


@needs_spec
@pytest.mark.parametrize("url", [DSP, PROFILE])
def test_our_contexts_define_the_published_terms_and_no_others(url: str) -> None:
    ours = context_document(url)["@context"]
    assert {name for name in ours if not name.startswith("@")} == set(terms_of(url))


@needs_spec
def test_the_order_in_which_types_are_expanded_does_not_matter() -> None:
    documents = [document for _, document in example_documents()]
    forwards = [expand(document) for document in documents]
    backwards = [expand(document) for document in reversed(documents)]
    assert forwards == backwards[::-1]


@needs_spec
@pytest.mark.parametrize(("name", "document"), example_messages())
def test_a_published_example_in_compact_form_is_not_touched(name: str, document: dict[str, Any]) -> None:
    assert normalise_message(document) is document, name


@needs_spec
@pytest.mark.parametrize(("name", "document"), example_messages())
def test_a_published_example_in_expanded_form_is_brought_back(name: str, document: dict[str, Any]) -> None:
    (node,) = expand(document)
    assert normalise_message({"@context": [DSP], **node}) == document, name

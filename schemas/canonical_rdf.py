"""The RDF that a JSON-LD document means, as the one text that stands for it (RDFC-1.0).

Nothing is fetched, and nothing that the document says may get lost on the way
from JSON to RDF: what is lost would not be signed. The algorithm takes
exponential time on some small graphs; run it where it can be stopped
(`connector.adapters.rdf_canonicaliser`).

Limitation: pyld computes URDNA2015, from which RDFC-1.0 differs in how control
characters are written; a document that holds any but line breaks is refused.

Source:
    W3C RDF Dataset Canonicalization 1.0; JSON-LD 1.1 Processing Algorithms and API.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from pyld import BUNDLED_CONTEXTS, jsonld
from pyld.canon import URDNA2015
from pyld.context_resolver import ContextResolver

from schemas.errors import JsonLdError, UnknownContextError
from schemas.jsonld import KNOWN_CONTEXTS, context_document, without_imports
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import ALLMENDE_CONTEXT

__all__ = ["CREDENTIAL_CONTEXTS", "MOST_BLANK_NODES", "canonical_rdf"]

MOST_BLANK_NODES: Final = 400
"""Most nodes without an identifier; an agreement has one for each rule and each constraint."""
MOST_VALUES: Final = 20_000
DEEPEST_LEVEL: Final = 32

_FILES: Final[Mapping[str, str]] = {
    "https://w3id.org/security/data-integrity/v2": "data-integrity-v2.jsonld",
    ALLMENDE_CONTEXT: "allmende-v1.jsonld",
}
"""Contexts of signed documents, besides those that messages may name."""
CREDENTIAL_CONTEXTS: Final = frozenset(
    {"https://www.w3.org/2018/credentials/v1", "https://www.w3.org/ns/credentials/v2"}
)
"""Contexts that pyld brings along and that a signed document may name, besides ours."""

_SHOWN: Final = 120
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]*|_:[A-Za-z0-9._-]+")
_NAMING: Final = ("@id", "@type", "@graph", "@value", "@language", "@list", "@set")


def canonical_rdf(document: JsonObject, contexts: Mapping[str, Any] | None = None) -> bytes:
    """Write what a document means as canonical N-Quads.

    Args:
        document: A document with its contexts.
        contexts: Further contexts that the reader trusts, by their URLs.

    Raises:
        UnknownContextError: The document names a context that is not known here.
        JsonLdError: The document defines terms itself, says something that RDF
            does not keep, or is too large.

    Source:
        RDF Dataset Canonicalization 1.0, section 4; Verifiable Credential Data
        Integrity 1.0, section 4.6 (no term may be dropped).
    """
    known = contexts or {}
    _check(document, known)
    options = _options(known)
    try:
        expanded = jsonld.expand(document, options, on_property_dropped=_refuse_dropped)
        _require_absolute(expanded)
        dataset = jsonld.to_rdf(expanded, options)
        _require_few_blank_nodes(dataset)
        quads: str = URDNA2015().main(dataset, {"format": "application/n-quads"})
    except (jsonld.JsonLdError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise JsonLdError(f"The document is not valid JSON-LD ({type(error).__name__}).") from error
    if not quads:
        raise JsonLdError("The document says nothing as RDF, so there is nothing to sign.")
    return quads.encode()


def _options(contexts: Mapping[str, Any]) -> dict[str, Any]:
    load = _loader(contexts)
    return {
        "base": None,
        "documentLoader": load,
        "contextResolver": ContextResolver({}, load),
        "processingMode": "json-ld-1.1",
    }


def _loader(contexts: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    def load(url: str, _options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": {"@context": _context(url, contexts)["@context"]},
            "tag": "static",
        }

    return load


def _context(url: str, contexts: Mapping[str, Any]) -> Mapping[str, Any]:
    if url in contexts:
        found: Mapping[str, Any] = contexts[url]
        return found
    if url in KNOWN_CONTEXTS:
        return {"@context": without_imports(context_document(url)["@context"])}
    if url in _FILES:
        text = files("schemas").joinpath("contexts", _FILES[url]).read_text(encoding="utf-8")
    elif url in CREDENTIAL_CONTEXTS:
        text = BUNDLED_CONTEXTS[url].read_text(encoding="utf-8")
    else:
        raise UnknownContextError(url)
    document: dict[str, Any] = json.loads(text)
    return document


def _check(document: JsonObject, contexts: Mapping[str, Any]) -> None:
    """Refuse what must not reach the processor."""
    if not isinstance(document, dict) or not document.get("@context"):
        raise JsonLdError("A document that is signed as RDF must be a JSON object with an @context.")
    for count, (value, depth) in enumerate(_values(document), start=1):
        if count > MOST_VALUES or depth > DEEPEST_LEVEL:
            raise JsonLdError(f"The document holds more than {MOST_VALUES} values or {DEEPEST_LEVEL} levels.")
        if value is None:
            raise JsonLdError("The document holds a null, which RDF does not keep and no signature covers.")
        if isinstance(value, str) and _CONTROL.search(value):
            raise JsonLdError("The document holds a control character, which is written in several ways.")
        if isinstance(value, dict) and "@context" in value:
            _check_contexts(value["@context"], contexts, outermost=value is document)


def _check_contexts(stated: JsonValue, contexts: Mapping[str, Any], *, outermost: bool) -> None:
    known = {*_FILES, *KNOWN_CONTEXTS, *CREDENTIAL_CONTEXTS, *contexts}
    for context in stated if isinstance(stated, list) else [stated]:
        if isinstance(context, dict):
            # A default vocabulary gives names to terms that have none, and changes no other.
            if not (outermost and set(context) == {"@vocab"} and _is_absolute(context["@vocab"])):
                raise JsonLdError("The document defines JSON-LD terms itself; name known contexts.")
        elif not isinstance(context, str) or context not in known:
            raise UnknownContextError(str(context))


def _values(document: JsonObject) -> Iterator[tuple[JsonValue, int]]:
    """Visit every value and every name, without recursion, with its depth."""
    waiting: list[tuple[JsonValue, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
            waiting.extend((name, depth + 1) for name in value)
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def _refuse_dropped(name: str | None) -> None:
    raise JsonLdError(
        f"The document has a member {str(name)[:_SHOWN]!r} that its contexts do not define: "
        "no signature over its RDF would cover that."
    )


def _require_absolute(expanded: JsonValue) -> None:
    """Refuse what the step from JSON-LD to RDF leaves out in silence."""
    waiting: list[JsonValue] = [expanded]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            _require_kept(value)
            waiting.extend(value.values())


def _require_kept(node: JsonObject) -> None:
    lost = [name for name in node if name.startswith("@") and name not in _NAMING]
    if lost:
        raise JsonLdError(f"The document uses {lost[0]}, which RDF does not keep.")
    if "@value" in node:
        return
    kinds = node.get("@type", [])
    named = [*([node["@id"]] if "@id" in node else []), *(kinds if isinstance(kinds, list) else [kinds])]
    for name in named:
        if not _is_absolute(name):
            raise JsonLdError(
                f"The document uses {str(name)[:_SHOWN]!r} where only an absolute IRI is kept by RDF."
            )


def _is_absolute(name: JsonValue) -> bool:
    return isinstance(name, str) and _ABSOLUTE.fullmatch(name) is not None


def _require_few_blank_nodes(dataset: Mapping[str, Any]) -> None:
    nodes = {
        part["value"]
        for triples in dataset.values()
        for triple in triples
        for part in (triple["subject"], triple["object"])
        if part["type"] == "blank node"
    }
    if len(nodes) > MOST_BLANK_NODES:
        raise JsonLdError(
            f"The document has more than {MOST_BLANK_NODES} nodes without an identifier; name them."
        )

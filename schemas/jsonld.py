"""JSON-LD over the contexts that this software brings along; nothing is ever fetched.

A context decides what a document means, so whoever can change it can change a
contract. Messages may therefore only name contexts that are known here, and
may not define terms themselves.

Source:
    JSON-LD 1.1 and JSON-LD 1.1 Processing Algorithms and API (W3C).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import Any, Final

from pyld import jsonld
from pyld.context_resolver import ContextResolver

from schemas.errors import JsonLdError, UnknownContextError
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import (
    ALLMENDE,
    DCAT,
    DCT,
    DSPACE_CONTEXT,
    DSPACE_ODRL_PROFILE_CONTEXT,
    EDC,
    EDC_DSPACE_CONTEXT,
    ODRL,
    POLICY,
    POLICY_PROFILE,
)

__all__ = [
    "KNOWN_CONTEXTS",
    "JsonLdError",
    "UnknownContextError",
    "compact",
    "context_document",
    "expand",
    "normalise_message",
    "without_imports",
]

_FILES: Final[Mapping[str, str]] = {
    DSPACE_CONTEXT: "dspace-2025-1.jsonld",
    DSPACE_ODRL_PROFILE_CONTEXT: "dspace-odrl-profile-2025-1.jsonld",
    POLICY_PROFILE: "allmende-policy-v1.jsonld",
    EDC_DSPACE_CONTEXT: "edc-dspace-v0.0.1.jsonld",
}
KNOWN_CONTEXTS: Final = frozenset(_FILES)
"""The contexts that a document may name."""

MOST_VALUES: Final = 20_000
"""Most values in a document that is expanded; each costs about 0.02 ms."""
DEEPEST_LEVEL: Final = 32

_SHOWN: Final = 200

_NORMAL_FORM: Final = "urn:allmende:context:dspace-without-prefixes"
_PREFIXES: Final = frozenset({"dcat", "dct", "dspace", "odrl", "xsd"})
_PLAIN_CONTEXTS: Final = frozenset({DSPACE_CONTEXT, EDC_DSPACE_CONTEXT})
_PLAIN_KEYWORDS: Final = frozenset({"@context", "@id", "@type", "@value", "@language"})
_PLAIN_NAMESPACES: Final = (ALLMENDE, POLICY, EDC, DCT, DCAT)
# Terms whose values are themselves terms or identifiers, which JSON-LD may
# also write as `odrl:use` or `{"@id": "odrl:use"}`.
_TERM_VALUED: Final = frozenset(
    {"action", "endpointType", "eventType", "format", "leftOperand", "operator", "state"}
)
_IDENTIFIER_VALUED: Final = frozenset(
    {
        "agreementId",
        "assignee",
        "assigner",
        "consumerPid",
        "participantId",
        "profile",
        "providerPid",
        "target",
    }
)
_ABBREVIATIONS: Final = (*(prefix + ":" for prefix in sorted(_PREFIXES)), "edc:", "allmende-policy:")

# pyld keeps processed contexts in structures that are not safe for threads.
_LOCK: Final = Lock()
_RESOLVED: Final[dict[str, Any]] = {}


def expand(document: JsonObject) -> list[JsonObject]:
    """Write a document with full IRIs and without a context.

    Relative identifiers stay as they are: DSP identifiers need not be IRIs.

    Raises:
        UnknownContextError: The document names a context that is not known here.
        JsonLdError: The document defines terms itself, is too large or too
            deep, or is not JSON-LD.

    Source:
        JSON-LD 1.1 API, section 5.1.
    """
    _check(document)
    try:
        with _LOCK:
            expanded: list[JsonObject] = jsonld.expand(document, _options())
    except (jsonld.JsonLdError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise JsonLdError(f"The document is not valid JSON-LD ({_first_cause(error)}).") from error
    return expanded


def compact(document: JsonObject, context: str | Sequence[str]) -> JsonObject:
    """Write a document with the terms of known contexts.

    Args:
        document: A document with its contexts, or one object of what `expand` returns.
        context: The contexts' URLs, in order.

    Returns:
        The document, with `@context` as an array.

    Raises:
        UnknownContextError: A context is not known here.
        JsonLdError: As for `expand`.

    Source:
        JSON-LD 1.1 API, section 5.2.
    """
    urls = [context] if isinstance(context, str) else list(context)
    for url in urls:
        if url not in KNOWN_CONTEXTS:
            raise UnknownContextError(url)
    compacted = _compacted(document, urls)
    compacted["@context"] = [*urls]
    return compacted


def normalise_message(document: JsonObject) -> JsonObject:
    """Bring a received DSP message into the one form that the rest reads.

    That form is compact JSON: terms of the DSP context un-prefixed, all other
    names as full IRIs. A document that already has it is returned unchanged;
    any other JSON-LD form of it is translated, at the cost of milliseconds, and
    loses properties that no context defines. All but one: that a policy takes
    over the rules of another one is never lost. A document without a context is
    returned as it is, for `parse_message` to refuse.

    Args:
        document: One message as received.

    Raises:
        UnknownContextError: The message names a context that is not known here.
        JsonLdError: The message defines terms itself, is too large or too
            deep to translate, is not JSON-LD, or describes several things.

    Source:
        DSP 2025-1, section 4: messages may be treated as plain JSON.
    """
    if not isinstance(document, dict):
        raise JsonLdError("The message is not a JSON object.")
    if document.get("@context") is None:
        return document
    if _is_in_normal_form(document):
        return document
    message = _compacted(_with_full_names(document), [_NORMAL_FORM])
    if "@graph" in message or "@type" not in message:
        raise JsonLdError("The message does not describe exactly one thing that its contexts define.")
    message["@context"] = [DSPACE_CONTEXT]
    return message


_NEVER_LOST: Final[Mapping[str, str]] = {"inheritFrom": ODRL + "inheritFrom"}
"""Words of ODRL that no context of the protocol defines, and without which a policy says something else."""


def _with_full_names(document: JsonObject) -> JsonObject:
    """Write out the words that a JSON-LD processor would otherwise drop."""
    if not any(word in node for node in _objects(document) for word in _NEVER_LOST):
        return document
    _check(document)  # how deep it is, before anything descends into it
    full: JsonObject = {name: _value_with_full_names(value) for name, value in document.items()}
    return full


def _value_with_full_names(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_value_with_full_names(item) for item in value]
    if not isinstance(value, dict) or value.get("@type") == "@json":
        return value
    named = {name: _value_with_full_names(item) for name, item in value.items()}
    for word, iri in _NEVER_LOST.items():
        if word in named:
            named[iri] = [*_several(named.get(iri)), *_several(named.pop(word))]
    return named


def _several(value: JsonValue) -> list[JsonValue]:
    return [] if value is None else value if isinstance(value, list) else [value]


@cache
def _published(url: str) -> Mapping[str, Any]:
    text = files("schemas").joinpath("contexts", _FILES[url]).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def context_document(url: str) -> Mapping[str, Any]:
    """Return our copy of a known context, as it would be published.

    Raises:
        UnknownContextError: The context is not known here.
    """
    if url not in _FILES:
        raise UnknownContextError(url)
    return _published(url)


def without_imports(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Merge imported contexts into the context that imports them.

    pyld 3.3 merges them into its cached copy of the imported context, so that a
    second type which imports it would inherit the first one's terms.
    """
    merged: dict[str, Any] = {}
    if "@import" in definitions:
        merged |= context_document(definitions["@import"])["@context"]
    for name, definition in definitions.items():
        if name == "@import":
            continue
        scoped = isinstance(definition, dict) and "@context" in definition
        merged[name] = (
            {**definition, "@context": without_imports(definition["@context"])} if scoped else definition
        )
    return merged


def _without_prefixes(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the prefixes, so that nothing is abbreviated with them."""
    return {
        name: {**definition, "@context": _without_prefixes(definition["@context"])}
        if isinstance(definition, dict) and "@context" in definition
        else definition
        for name, definition in definitions.items()
        if name not in _PREFIXES
    }


def _load(url: str, _options: Mapping[str, Any]) -> dict[str, Any]:
    """Answer pyld's requests for contexts: from the package, never from the network."""
    definitions = without_imports(
        context_document(DSPACE_CONTEXT if url == _NORMAL_FORM else url)["@context"]
    )
    if url == _NORMAL_FORM:
        definitions = _without_prefixes(definitions)
    return {
        "contentType": "application/ld+json",
        "contextUrl": None,
        "documentUrl": url,
        "document": {"@context": definitions},
        "tag": "static",
    }


def _options() -> dict[str, Any]:
    # The shared default cache of pyld would mix our contexts with those of
    # whoever else uses it in this process.
    return {
        "base": None,
        "documentLoader": _load,
        "contextResolver": ContextResolver(_RESOLVED, _load),
        "processingMode": "json-ld-1.1",
    }


def _compacted(document: JsonObject, urls: list[str]) -> JsonObject:
    expanded = expand(document)
    try:
        with _LOCK:
            compacted: JsonObject = jsonld.compact(expanded, urls, {**_options(), "skipExpansion": True})
    except (jsonld.JsonLdError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise JsonLdError(f"The document cannot be compacted ({_first_cause(error)}).") from error
    return compacted


def _first_cause(error: BaseException) -> str:
    """Name what pyld complained about first; its outer errors only say where it was."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    reason = str(error.args[0] if error.args else type(error).__name__)
    return ascii(reason[:_SHOWN]).strip("'\".")


def _check(document: JsonObject) -> None:
    """Refuse what must not reach the processor."""
    if not isinstance(document, dict):
        raise JsonLdError("The document is not a JSON object.")
    for values, depth in enumerate(_depths(document), start=1):
        if depth > DEEPEST_LEVEL:
            raise JsonLdError(f"The document is nested deeper than {DEEPEST_LEVEL} levels.")
        if values > MOST_VALUES:
            raise JsonLdError(f"The document holds more than {MOST_VALUES} values.")
    for node in _objects(document):
        if "@context" in node:
            _check_contexts(node["@context"])


def _check_contexts(stated: JsonValue) -> None:
    for context in stated if isinstance(stated, list) else [stated]:
        if not isinstance(context, str):
            raise JsonLdError("The document defines JSON-LD terms itself; name known contexts by their URLs.")
        if context not in KNOWN_CONTEXTS:
            raise UnknownContextError(context)


def _depths(document: JsonObject) -> Iterator[int]:
    """Visit every value, without recursion, and say how deep it lies."""
    waiting: list[tuple[JsonValue, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        yield depth
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def _objects(document: JsonObject) -> Iterator[JsonObject]:
    """Visit every object that JSON-LD would read; what JSON literals hold is mere data."""
    waiting: list[JsonValue] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            yield value
            literal = value.get("@type") == "@json"
            waiting.extend(item for key, item in value.items() if not (literal and key == "@value"))


def _is_in_normal_form(document: JsonObject) -> bool:
    contexts = document["@context"]
    if not isinstance(contexts, list) or not all(
        isinstance(context, str) and context in _PLAIN_CONTEXTS for context in contexts
    ):
        return False
    kind = document.get("@type")
    if not isinstance(kind, str) or kind not in _defined_names().types:
        return False
    nodes = iter(_objects(document))
    next(nodes)
    return _is_plain(document) and all("@context" not in node and _is_plain(node) for node in nodes)


def _is_plain(node: JsonObject) -> bool:
    """Say whether an object uses terms and full IRIs only, never JSON-LD's other spellings."""
    if "@value" in node and len(node) == 1:
        return False
    return all(_is_plain_property(key, value) for key, value in node.items())


def _is_plain_property(key: str, value: JsonValue) -> bool:
    if key.startswith("@"):
        return key in _PLAIN_KEYWORDS and (key != "@type" or _is_plain_term(value))
    if ":" in key and (not key.startswith(_PLAIN_NAMESPACES) or key in _defined_names().iris):
        return False
    values = value if isinstance(value, list) else [value]
    if key in _TERM_VALUED:
        return all(_is_plain_term(item) for item in values)
    return key not in _IDENTIFIER_VALUED or all(isinstance(item, str) for item in values)


def _is_plain_term(value: JsonValue) -> bool:
    """Say whether a value is a term or an IRI that no term stands for."""
    return (
        isinstance(value, str) and not value.startswith(_ABBREVIATIONS) and value not in _defined_names().iris
    )


@dataclass(frozen=True, slots=True)
class _DefinedNames:
    """What the DSP context defines.

    Attributes:
        types: Terms for the types of documents.
        iris: IRIs for which there is a term.
    """

    types: frozenset[str]
    iris: frozenset[str]


@cache
def _defined_names() -> _DefinedNames:
    definitions = _without_prefixes(without_imports(context_document(DSPACE_CONTEXT)["@context"]))
    types = (name for name, definition in definitions.items() if isinstance(definition, dict))
    return _DefinedNames(types=frozenset(types), iris=frozenset(_iris(definitions)))


def _iris(definitions: Mapping[str, Any]) -> Iterator[str]:
    for definition in definitions.values():
        if isinstance(definition, str):
            yield definition
        elif isinstance(definition, dict):
            yield definition["@id"]
            yield from _iris(definition.get("@context", {}))

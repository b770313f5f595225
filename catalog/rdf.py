"""JSON-LD of our own writing as a graph, for readers who want RDF.

Only what this software has written itself may come here: contexts are prefixes
and nothing else, and nothing is ever parsed or fetched.

Source:
    JSON-LD 1.1 (compact form); RDF 1.1.
"""

from collections.abc import Mapping
from typing import Final, cast

from rdflib import Graph, Literal, URIRef
from rdflib.namespace import RDF
from rdflib.term import Node

from schemas.strict_json import JsonObject, JsonValue

_KEYWORDS: Final = frozenset({"@context", "@id", "@type"})


def to_graph(document: JsonObject) -> Graph:
    """Make the graph that a document means.

    Args:
        document: JSON-LD with a context of prefixes; every node in it has an
            absolute IRI, and every value is a node or a value object.
    """
    prefixes = cast("Mapping[str, str]", document["@context"])
    graph = Graph(bind_namespaces="none")
    for prefix, namespace in prefixes.items():
        graph.bind(prefix, namespace)
    _add_node(graph, document, prefixes)
    return graph


def _add_node(graph: Graph, node: Mapping[str, JsonValue], prefixes: Mapping[str, str]) -> URIRef:
    subject = _iri(str(node["@id"]), prefixes)
    for kind in _several(node.get("@type", [])):
        graph.add((subject, RDF.type, _iri(str(kind), prefixes)))
    for name, stated in node.items():
        if name not in _KEYWORDS:
            for value in _several(stated):
                graph.add((subject, _iri(name, prefixes), _value(graph, value, prefixes)))
    return subject


def _value(graph: Graph, value: JsonValue, prefixes: Mapping[str, str]) -> Node:
    if not isinstance(value, dict):
        raise TypeError(f"a value of RDF is a node or a value object, not {value!r}")
    if "@id" in value:
        return _add_node(graph, value, prefixes)
    text, language, kind = str(value["@value"]), value.get("@language"), value.get("@type")
    if language is not None:
        return Literal(text, lang=str(language))
    # As it was written: another form of the same number would be another literal.
    return Literal(text, datatype=None if kind is None else _iri(str(kind), prefixes), normalize=False)


def _several(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]


def _iri(name: str, prefixes: Mapping[str, str]) -> URIRef:
    prefix, _, rest = name.partition(":")
    is_short = prefix in prefixes and not rest.startswith("//")
    return URIRef(prefixes[prefix] + rest if is_short else name)

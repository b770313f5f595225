"""ODRL policies in Turtle as the compact JSON that our reader takes."""

from pathlib import Path

from rdflib import RDF, BNode, Graph, Literal, URIRef
from rdflib.collection import Collection
from rdflib.term import Node

ODRL = "http://www.w3.org/ns/odrl/2/"
JSON_TYPES = {RDF.type: "@type", RDF.value: "rdf:value"}


def graph_of(*files: Path) -> Graph:
    """Parse Turtle files into one graph."""
    graph = Graph()
    for file in files:
        graph.parse(file, format="turtle")
    return graph


def policy_document(graph: Graph, policy: Node) -> dict:
    """Write a policy, and everything below it, as compact JSON."""
    return _object(graph, policy)


def _object(graph: Graph, node: Node) -> dict:
    written: dict = {} if isinstance(node, BNode) else {"@id": str(node)}
    for predicate in sorted(set(graph.predicates(node)) - {URIRef(ODRL + "uid")}):
        key = JSON_TYPES.get(predicate, str(predicate).removeprefix(ODRL))
        values = [_value(graph, value) for value in graph.objects(node, predicate)]
        written[key] = values[0] if len(values) == 1 else values
    return written


def _value(graph: Graph, node: Node) -> object:
    if isinstance(node, Literal):
        return _literal(node)
    if (node, RDF.first, None) in graph:
        return {"@list": [_value(graph, member) for member in Collection(graph, node)]}
    if isinstance(node, URIRef) and (node, None, None) not in graph:
        return {"@id": str(node)}
    return _object(graph, node)


def _literal(node: Literal) -> dict:
    typed = {"@type": str(node.datatype)} if node.datatype else {}
    return {"@value": str(node), **typed}

"""The DCAT documents are stable, frozen in layout, and hold nothing that is no IRI."""

import json
import re

import pytest
from pyld import jsonld
from rdflib import Graph, Literal, URIRef
from rdflib.namespace import RDFS

from catalog.dcat import JSON_LD, TURTLE, serialise, to_dcat_graph
from catalog.errors import CatalogContentError
from catalog.model import Offer
from policies.odrl import parse_policy
from tests.unit.catalog.example_catalog import UUID, catalog, dataset, offer_document

PAGE = f"https://stadtwerke-rheinaue.example/datasets/{UUID}"


@pytest.mark.parametrize("media_type", [TURTLE, JSON_LD])
def test_the_same_catalog_gives_the_same_bytes(media_type: str) -> None:
    first = serialise(to_dcat_graph(catalog()), media_type)
    second = serialise(to_dcat_graph(catalog()), media_type)

    assert first == second


def test_turtle_and_json_ld_say_the_same() -> None:
    graph = to_dcat_graph(catalog())

    turtle = Graph().parse(data=serialise(graph, TURTLE), format="turtle")
    # Another implementation than the one that writes; the context is inline, so nothing is loaded.
    quads = jsonld.to_rdf(
        json.loads(serialise(graph, JSON_LD)), {"format": "application/n-quads", "base": None}
    )
    json_ld = Graph().parse(data=quads, format="nt")

    assert set(turtle) == set(graph)
    assert set(json_ld) == set(graph)


def test_json_ld_can_be_read_as_plain_json() -> None:
    document = json.loads(serialise(to_dcat_graph(catalog()), JSON_LD))

    (found,) = [node for node in document["@graph"] if node.get("@type") == "dcat:Dataset"]
    assert found["@id"] == f"{PAGE}#dataset"
    assert {"@language": "de", "@value": "Lastprofile Rheinaue 2016"} in found["dct:title"]
    assert found["dcat:distribution"] == {"@id": f"{PAGE}#distribution"}


def test_an_empty_catalog_still_has_a_graph() -> None:
    document = json.loads(serialise(to_dcat_graph(catalog(dataset(publishing=False))), JSON_LD))

    assert "dcat:Catalog" in [node["@type"] for node in document["@graph"]]
    assert "dcat:Dataset" not in [node["@type"] for node in document["@graph"]]


def test_the_access_address_is_a_page_and_never_the_data() -> None:
    graph = to_dcat_graph(catalog())

    addresses = set(graph.objects(None, URIRef("http://www.w3.org/ns/dcat#accessURL")))
    assert addresses == {URIRef(PAGE)}
    assert not set(graph.objects(None, URIRef("http://www.w3.org/ns/dcat#downloadURL")))


def test_every_constraint_of_the_offer_is_published() -> None:
    graph = to_dcat_graph(catalog())

    stated = sum(len(rule["constraint"]) for rule in offer_document()["permission"])
    assert len(set(graph.subjects(URIRef("http://www.w3.org/ns/odrl/2/leftOperand"), None))) == stated


def test_the_terms_stand_in_the_catalog_in_words() -> None:
    document = json.loads(serialise(to_dcat_graph(catalog()), JSON_LD))

    (rights,) = [node for node in document["@graph"] if node["@id"] == f"{PAGE}#rights"]
    assert {label["@language"] for label in rights["rdfs:label"]} == {"de", "en"}
    assert all(len(label["@value"]) > 100 for label in rights["rdfs:label"])


PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "https://w3id.org/dpv#Marketing"}
END = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"}
JOINED = [
    ("permission", "and", "All 2 conditions must hold", "Alle 2 Bedingungen müssen gelten"),
    (
        "permission",
        "or",
        "At least one of 2 conditions must hold",
        "Mindestens eine von 2 Bedingungen muss gelten",
    ),
    (
        "permission",
        "xone",
        "Exactly one of 2 conditions must hold",
        "Genau eine von 2 Bedingungen muss gelten",
    ),
    (
        "permission",
        "andSequence",
        "All 2 conditions must hold, in this order",
        "Alle 2 Bedingungen müssen gelten, in dieser Reihenfolge",
    ),
    (
        "prohibition",
        "or",
        "Holds if at least one of 2 conditions is true",
        "Gilt, wenn mindestens eine von 2 Bedingungen zutrifft",
    ),
]


@pytest.mark.parametrize(("kind", "connective", "english", "german"), JOINED)
def test_what_joins_conditions_stands_in_the_words_of_the_catalog(
    kind: str, connective: str, english: str, german: str
) -> None:
    document = offer_document()
    document[kind] = [{"action": "use", "constraint": [{connective: [PURPOSE, END]}]}]
    offered = dataset(offer=Offer(parse_policy(document), document))
    graph = to_dcat_graph(catalog(offered))

    labels = {
        label.language: str(label)
        for label in graph.objects(URIRef(f"{PAGE}#rights"), RDFS.label)
        if isinstance(label, Literal)
    }
    assert re.search(rf"{english}: \(1: [^()]*“marketing”[^()]*\) \(2: .*31 Dec 2027", labels["en"])
    assert re.search(rf"{german}: \(1: [^()]*„Marketing“[^()]*\) \(2: .*31\.12\.2027", labels["de"])


@pytest.mark.parametrize(
    "license_iri", ["other closed", "", "https://a.example/<script>", 'https://a.example/"', "no-scheme"]
)
def test_a_licence_that_is_no_iri_is_refused(license_iri: str) -> None:
    with pytest.raises(CatalogContentError, match="not an absolute IRI"):
        to_dcat_graph(catalog(dataset(license=license_iri)))


def test_another_media_type_is_refused_with_the_possible_ones() -> None:
    with pytest.raises(CatalogContentError, match="text/turtle, application/ld"):
        serialise(to_dcat_graph(catalog()), "application/rdf+xml")


def test_an_identifier_that_is_no_uuid_still_has_a_page() -> None:
    graph = to_dcat_graph(catalog(dataset(identifier="CD 123/é")))

    node = URIRef("https://stadtwerke-rheinaue.example/datasets/CD%20123%2F%C3%A9#dataset")
    assert (node, None, None) in graph

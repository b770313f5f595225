"""Our catalog conforms to the official SHACL shapes of DCAT-AP 3.0.1 and DCAT-AP.de 3.0.

The 3.0.1 shapes also check the class of every controlled term, which only the
published vocabularies state. Nothing is fetched over the network: a few lines
of them stand here. The shapes of the code lists themselves are left out.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from rdflib import RDF, Graph, URIRef

from catalog.dcat import to_dcat_graph
from tests.unit.catalog.example_catalog import catalog, dataset

pyshacl = pytest.importorskip("pyshacl", reason="pyshacl is not installed")

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[2] / ".." / "shared" / "spec"))
SHAPES = SPEC / "dcat" / "shapes"
SH = "http://www.w3.org/ns/shacl#"

pytestmark = pytest.mark.skipif(
    not SHAPES.is_dir(), reason="the DCAT shapes are not here; set ALLMENDE_SPEC_DIR"
)

FILES = [
    "dcat-ap-3.0.1/dcat-ap-SHACL.ttl",
    "dcat-ap-3.0.1/shapes.ttl",
    "dcat-ap-de-3.0/dcat-ap-spec-german-additions.ttl",
    "dcat-ap-de-3.0/dcat-ap-de-deprecated.ttl",
]


# What the EU, the IANA, DCAT-AP.de and SPDX publish about the terms we use.
VOCABULARIES = """
@prefix dct: <http://purl.org/dc/terms/> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix eu: <http://publications.europa.eu/resource/authority/> .
<http://publications.europa.eu/resource/authority/language/DEU> a dct:LinguisticSystem .
<http://publications.europa.eu/resource/authority/language/ENG> a dct:LinguisticSystem .
<http://publications.europa.eu/resource/authority/file-type/ARROW_STREAM> a dct:MediaTypeOrExtent .
<http://publications.europa.eu/resource/authority/access-right/RESTRICTED> a dct:RightsStatement .
<http://publications.europa.eu/resource/authority/data-theme/ENER> a skos:Concept ;
    skos:prefLabel "Energy"@en ; skos:inScheme eu:data-theme .
eu:data-theme a skos:ConceptScheme ; dct:title "Data theme"@en .
<https://www.iana.org/assignments/media-types/application/vnd.apache.arrow.stream> a dct:MediaType .
<http://dcat-ap.de/def/licenses/other-closed> a dct:LicenseDocument .
<http://spdx.org/rdf/terms#checksumAlgorithm_sha256> a <http://spdx.org/rdf/terms#ChecksumAlgorithm> .
"""


def _shapes(name: str) -> Graph:
    graph = Graph().parse(SHAPES / name, format="turtle")
    # The official file links DataServiceShape to two property shapes that do not exist.
    for shape, link in list(graph.subject_objects(URIRef(SH + "property"))):
        if (link, URIRef(SH + "path"), None) not in graph:
            graph.remove((shape, URIRef(SH + "property"), link))
    return graph


def _violations(data: Graph, name: str) -> list[str]:
    known = data + Graph().parse(data=VOCABULARIES, format="turtle")
    _, results, _ = pyshacl.validate(known, shacl_graph=_shapes(name), do_owl_imports=False, advanced=True)
    return [
        f"{results.value(one, URIRef(SH + 'focusNode'))} {results.value(one, URIRef(SH + 'resultPath'))}: "
        f"{results.value(one, URIRef(SH + 'resultMessage'))}"
        for one in results.subjects(RDF.type, URIRef(SH + "ValidationResult"))
        if results.value(one, URIRef(SH + "resultSeverity")) == URIRef(SH + "Violation")
    ]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "published",
    [catalog(), catalog(dataset(), dataset(identifier="CAT0101")), catalog(contact_email=None)],
    ids=["one dataset", "two datasets", "no contact"],
)
def test_the_catalog_violates_no_official_shape(published: Any, name: str) -> None:
    assert _violations(to_dcat_graph(published), name) == []


@pytest.mark.parametrize(
    ("removed", "name"),
    [
        ("http://purl.org/dc/terms/title", FILES[0]),
        ("http://www.w3.org/ns/dcat#accessURL", FILES[1]),
        ("http://www.w3.org/ns/dcat#endpointURL", FILES[0]),
        ("http://purl.org/dc/terms/publisher", FILES[2]),
        ("http://purl.org/dc/terms/license", FILES[2]),
    ],
)
def test_the_shapes_would_notice_a_missing_property(removed: str, name: str) -> None:
    graph = to_dcat_graph(catalog())
    graph.remove((None, URIRef(removed), None))

    assert _violations(graph, name) != []

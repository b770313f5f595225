"""The catalog as open-data portals read it: a DCAT-AP graph, as Turtle or JSON-LD.

Every node has an IRI below the participant's public address, so that two
serialisations of one catalog are equal byte for byte. Policies are published
with their full ODRL rules and, in words, as a rights statement.

Limits: no `dcatde:contributorID` (only the harvesting portal can assign one),
no paging, no DCAT extension profiles. Nothing is ever parsed here: rdflib
follows addresses in what it parses, so foreign documents stay outside.

Source:
    DCAT-AP 3.0.1, DCAT-AP.de 3.0.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

from rdflib import Graph, Literal, Namespace, URIRef
from rdflib.namespace import DCAT, DCTERMS, FOAF, RDF, RDFS, XSD
from rdflib.term import Node

from catalog.errors import CatalogContentError
from catalog.model import Catalog, Dataset, dataset_page
from policies.enforcement_map import in_running_text
from policies.model import AnyConstraint, Constraint, Duty, LanguageMap, Permission, Policy, Prohibition
from policies.terms import classify
from schemas import vocabulary

TURTLE: Final = "text/turtle"
JSON_LD: Final = "application/ld+json"
MEDIA_TYPES: Final = (TURTLE, JSON_LD)

_EU: Final = "http://publications.europa.eu/resource/authority/"
_FILE_TYPE: Final = URIRef(_EU + "file-type/ARROW_STREAM")
_MEDIA_TYPE: Final = URIRef(
    "https://www.iana.org/assignments/media-types/application/vnd.apache.arrow.stream"
)
_RESTRICTED: Final = URIRef(_EU + "access-right/RESTRICTED")
_LANGUAGES: Final = (URIRef(_EU + "language/DEU"), URIRef(_EU + "language/ENG"))
_DSP: Final = URIRef("https://w3id.org/dspace/2025/1")

_ODRL: Final = Namespace(vocabulary.ODRL)
_VCARD: Final = Namespace("http://www.w3.org/2006/vcard/ns#")
_SPDX: Final = Namespace("http://spdx.org/rdf/terms#")
_ALLMENDE: Final = Namespace(vocabulary.ALLMENDE)

_PREFIXES: Final = {
    "dcat": str(DCAT),
    "dct": str(DCTERMS),
    "foaf": str(FOAF),
    "odrl": str(_ODRL),
    "rdf": str(RDF),
    "rdfs": str(RDFS),
    "spdx": str(_SPDX),
    "vcard": str(_VCARD),
    "xsd": str(XSD),
    "allmende": str(_ALLMENDE),
}


def to_dcat_graph(catalog: Catalog) -> Graph:
    """Describe a catalog for open-data portals.

    Args:
        catalog: The participant's catalog; withdrawn datasets are left out.

    Returns:
        A graph without blank nodes that conforms to the mandatory shapes of
        DCAT-AP 3.0.1 and DCAT-AP.de 3.0.

    Raises:
        CatalogContentError: A value that must be an IRI is none.
    """
    graph = Graph(bind_namespaces="none")
    for prefix, namespace in _PREFIXES.items():
        graph.bind(prefix, namespace)
    node = URIRef(f"{catalog.public_url}/catalog#catalog")
    _add_publisher(graph, catalog)
    _add_catalog(graph, node, catalog)
    _add_service(graph, catalog)
    for dataset in catalog.published:
        graph.add((node, DCAT.dataset, _add_dataset(graph, dataset, catalog)))
    return graph


def serialise(graph: Graph, media_type: str) -> bytes:
    """Write a graph down; the same graph gives the same bytes.

    Args:
        graph: A graph without blank nodes, as `to_dcat_graph` makes it.
        media_type: One of `MEDIA_TYPES`.

    Returns:
        UTF-8. JSON-LD has one frozen layout, for readers that treat it as plain
        JSON: prefixed names, no nesting, and always a list under `@graph`.

    Raises:
        CatalogContentError: The media type is none of these.
    """
    if media_type == TURTLE:
        return graph.serialize(format="turtle", encoding="utf-8")
    if media_type == JSON_LD:
        return _json_ld(graph)
    raise CatalogContentError(
        f"A catalog cannot be written as {media_type}. Ask for one of {', '.join(MEDIA_TYPES)}."
    )


def _add_publisher(graph: Graph, catalog: Catalog) -> None:
    agent = _iri(catalog.participant_id)
    graph.add((agent, RDF.type, FOAF.Agent))
    graph.add((agent, FOAF.name, Literal(catalog.title)))
    if catalog.contact_email is not None:
        contact = URIRef(f"{catalog.public_url}/catalog#contact")
        # The German shapes only see vcard:Kind; the subclass is what readers expect.
        graph.add((contact, RDF.type, _VCARD.Kind))
        graph.add((contact, RDF.type, _VCARD.Organization))
        graph.add((contact, _VCARD.fn, Literal(catalog.title)))
        graph.add((contact, _VCARD.hasEmail, _iri("mailto:" + catalog.contact_email)))


def _add_catalog(graph: Graph, node: URIRef, catalog: Catalog) -> None:
    graph.add((node, RDF.type, DCAT.Catalog))
    graph.add((node, DCTERMS.identifier, Literal(catalog.identifier)))
    _add_texts(graph, node, DCTERMS.title, _catalog_title(catalog))
    _add_texts(graph, node, DCTERMS.description, _catalog_description(catalog))
    graph.add((node, DCTERMS.publisher, _iri(catalog.participant_id)))
    graph.add((node, FOAF.homepage, _add_page(graph, f"{catalog.public_url}/catalog")))
    graph.add((node, DCAT.service, _service_node(catalog)))
    for language in _LANGUAGES:
        graph.add((node, DCTERMS.language, language))
    if catalog.published:
        modified = max(dataset.modified for dataset in catalog.published)
        graph.add((node, DCTERMS.modified, Literal(modified)))


def _add_page(graph: Graph, address: str) -> URIRef:
    page = _iri(address)
    graph.add((page, RDF.type, FOAF.Document))
    return page


def _catalog_title(catalog: Catalog) -> LanguageMap:
    return {"de": f"Datenangebote: {catalog.title}", "en": f"Data offers: {catalog.title}"}


def _catalog_description(catalog: Catalog) -> LanguageMap:
    return {
        "de": f"Was {catalog.title} im Datenraum unter Vertrag anbietet.",
        "en": f"What {catalog.title} offers in the data space under contract.",
    }


def _service_node(catalog: Catalog) -> URIRef:
    return URIRef(f"{catalog.public_url}/catalog#service")


def _add_service(graph: Graph, catalog: Catalog) -> None:
    node = _service_node(catalog)
    graph.add((node, RDF.type, DCAT.DataService))
    graph.add((node, DCTERMS.identifier, Literal(catalog.service_identifier)))
    graph.add((node, DCTERMS.title, Literal(f"{catalog.title}: Dataspace Protocol", lang="en")))
    graph.add((node, DCTERMS.publisher, _iri(catalog.participant_id)))
    graph.add((node, DCAT.endpointURL, _iri(catalog.endpoint_url)))
    graph.add((_DSP, RDF.type, DCTERMS.Standard))
    graph.add((node, DCTERMS.conformsTo, _DSP))


def _add_dataset(graph: Graph, dataset: Dataset, catalog: Catalog) -> URIRef:
    page = dataset_page(catalog, dataset)
    node = URIRef(f"{page}#dataset")
    graph.add((node, RDF.type, DCAT.Dataset))
    graph.add((node, DCTERMS.identifier, Literal(dataset.identifier)))
    _add_texts(graph, node, DCTERMS.title, dataset.title)
    _add_texts(graph, node, DCTERMS.description, dataset.description)
    graph.add((node, DCTERMS.publisher, _iri(catalog.participant_id)))
    graph.add((node, DCTERMS.accessRights, _RESTRICTED))
    graph.add((node, DCAT.landingPage, _add_page(graph, page)))
    graph.add((node, DCTERMS.issued, Literal(dataset.issued)))
    graph.add((node, DCTERMS.modified, Literal(dataset.modified)))
    for keyword in dataset.keywords:
        graph.add((node, DCAT.keyword, Literal(keyword)))
    for theme in dataset.themes:
        graph.add((node, DCAT.theme, _iri(f"{_EU}data-theme/{theme}")))
    _add_contact(graph, node, catalog)
    _add_provenance(graph, node, page, dataset)
    _add_policy(graph, page, dataset.offer.policy)
    graph.add((node, _ODRL.hasPolicy, URIRef(f"{page}#offer")))
    graph.add((node, DCAT.distribution, _add_distribution(graph, page, dataset, catalog)))
    graph.add((_service_node(catalog), DCAT.servesDataset, node))
    return node


def _add_contact(graph: Graph, node: URIRef, catalog: Catalog) -> None:
    if catalog.contact_email is not None:
        graph.add((node, DCAT.contactPoint, URIRef(f"{catalog.public_url}/catalog#contact")))


def _add_provenance(graph: Graph, node: URIRef, page: str, dataset: Dataset) -> None:
    if dataset.source_note:
        statement = URIRef(f"{page}#provenance")
        graph.add((statement, RDF.type, DCTERMS.ProvenanceStatement))
        _add_texts(graph, statement, RDFS.label, dataset.source_note)
        graph.add((node, DCTERMS.provenance, statement))


def _add_distribution(graph: Graph, page: str, dataset: Dataset, catalog: Catalog) -> URIRef:
    node = URIRef(f"{page}#distribution")
    graph.add((node, RDF.type, DCAT.Distribution))
    _add_texts(graph, node, DCTERMS.title, dataset.title)
    graph.add((node, DCAT.accessURL, URIRef(page)))
    graph.add((node, DCAT.accessService, _service_node(catalog)))
    graph.add((node, DCTERMS.license, _iri(dataset.license)))
    graph.add((node, DCTERMS["format"], _FILE_TYPE))
    graph.add((node, DCAT.mediaType, _MEDIA_TYPE))
    graph.add((node, _ODRL.hasPolicy, URIRef(f"{page}#offer")))
    graph.add((node, DCTERMS.rights, _add_rights(graph, page, dataset.offer.policy)))
    graph.add((node, _SPDX.checksum, _add_checksum(graph, page, dataset)))
    return node


def _add_rights(graph: Graph, page: str, policy: Policy) -> URIRef:
    node = URIRef(f"{page}#rights")
    graph.add((node, RDF.type, DCTERMS.RightsStatement))
    _add_texts(graph, node, RDFS.label, in_running_text(classify(policy)))
    return node


def _add_checksum(graph: Graph, page: str, dataset: Dataset) -> URIRef:
    node = URIRef(f"{page}#checksum")
    graph.add((node, RDF.type, _SPDX.Checksum))
    graph.add((node, _SPDX.algorithm, _SPDX.checksumAlgorithm_sha256))
    graph.add((node, _SPDX.checksumValue, Literal(dataset.digest, datatype=XSD.hexBinary, normalize=False)))
    return node


def _add_policy(graph: Graph, page: str, policy: Policy) -> None:
    node = URIRef(f"{page}#offer")
    graph.add((node, RDF.type, _ODRL.Offer))
    # The superclass, stated: the shapes are checked without the ODRL ontology.
    graph.add((node, RDF.type, _ODRL.Policy))
    graph.add((node, DCTERMS.identifier, Literal(policy.uid)))
    for profile in policy.profiles:
        graph.add((node, _ODRL.profile, _iri(profile)))
    for permission in policy.permissions:
        graph.add((node, _ODRL.permission, _add_rule(graph, node, permission, _ODRL.Permission)))
    for prohibition in policy.prohibitions:
        graph.add((node, _ODRL.prohibition, _add_rule(graph, node, prohibition, _ODRL.Prohibition)))
    _add_duties(graph, node, policy.obligations, "obligation")


def _add_rule(graph: Graph, offer: URIRef, rule: Permission | Prohibition, kind: URIRef) -> URIRef:
    node = URIRef(f"{offer}/{rule.identifier}")
    graph.add((node, RDF.type, kind))
    graph.add((node, _ODRL.action, _add_action(graph, node, rule)))
    _add_constraints(graph, node, rule.constraints, _ODRL.constraint)
    if isinstance(rule, Permission):
        _add_duties(graph, node, rule.duties, "duty")
    else:
        _add_duties(graph, node, rule.remedies, "remedy")
    return node


def _add_duties(graph: Graph, parent: URIRef, duties: Iterable[Duty], role: str) -> None:
    for index, duty in enumerate(duties):
        node = URIRef(f"{parent}/{role}/{index}")
        graph.add((parent, _ODRL[role], node))
        graph.add((node, RDF.type, _ODRL.Duty))
        graph.add((node, _ODRL.action, _add_action(graph, node, duty)))
        _add_constraints(graph, node, duty.constraints, _ODRL.constraint)
        _add_duties(graph, node, duty.consequences, "consequence")


def _add_action(graph: Graph, rule_node: URIRef, rule: Permission | Prohibition | Duty) -> URIRef:
    if not rule.refinements:
        return _iri(rule.action)
    node = URIRef(f"{rule_node}/action")
    graph.add((node, RDF.value, _iri(rule.action)))
    _add_constraints(graph, node, rule.refinements, _ODRL.refinement)
    return node


def _add_constraints(
    graph: Graph, parent: URIRef, constraints: Iterable[AnyConstraint], predicate: URIRef
) -> None:
    for index, constraint in enumerate(constraints):
        node = URIRef(f"{parent}/{predicate.removeprefix(str(_ODRL))}/{index}")
        graph.add((parent, predicate, node))
        if isinstance(constraint, Constraint):
            _add_comparison(graph, node, constraint)
        else:
            graph.add((node, RDF.type, _ODRL.LogicalConstraint))
            _add_constraints(graph, node, constraint.operands, _ODRL[constraint.connective.value])


def _add_comparison(graph: Graph, node: URIRef, constraint: Constraint) -> None:
    graph.add((node, RDF.type, _ODRL.Constraint))
    graph.add((node, _ODRL.leftOperand, _iri(constraint.left_operand)))
    graph.add((node, _ODRL.operator, _ODRL[constraint.operator.value]))
    for value in constraint.right_operand:
        graph.add((node, _ODRL.rightOperand, _operand(value, constraint.data_type)))
    if constraint.unit is not None:
        graph.add((node, _ODRL.unit, _iri(constraint.unit)))


def _operand(value: str, data_type: str | None) -> Node:
    if data_type is None and value.startswith(("http://", "https://")):
        return _iri(value)
    return Literal(value, datatype=None if data_type is None else _iri(data_type))


def _add_texts(graph: Graph, node: URIRef, predicate: URIRef, texts: LanguageMap) -> None:
    for language, text in texts.items():
        graph.add((node, predicate, Literal(text, lang=language)))


_ABSOLUTE_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|\\^`]+")


def _iri(text: str) -> URIRef:
    if not _ABSOLUTE_IRI.fullmatch(text):
        raise CatalogContentError(
            f"{text!r} is not an absolute IRI. Correct it in the dataset's description or in its offer."
        )
    return URIRef(text)


def _json_ld(graph: Graph) -> bytes:
    nodes = [_json_node(graph, subject) for subject in sorted(set(graph.subjects()), key=_order)]
    document = {"@context": _PREFIXES, "@graph": nodes}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _json_node(graph: Graph, subject: Node) -> dict[str, object]:
    node: dict[str, object] = {"@id": str(subject)}
    types = sorted(_prefixed(kind) for kind in graph.objects(subject, RDF.type))
    if types:
        node["@type"] = types[0] if len(types) == 1 else types
    for predicate in sorted(set(graph.predicates(subject)) - {RDF.type}, key=_order):
        values = [_json_value(value) for value in sorted(graph.objects(subject, predicate), key=_order)]
        node[_prefixed(predicate)] = values[0] if len(values) == 1 else values
    return node


def _order(node: Node) -> tuple[str, str]:
    return str(node), (node.language or "") if isinstance(node, Literal) else ""


def _json_value(value: Node) -> object:
    if not isinstance(value, Literal):
        return {"@id": str(value)}
    if value.language is not None:
        return {"@language": value.language, "@value": str(value)}
    if value.datatype is not None:
        return {"@type": _prefixed(value.datatype), "@value": str(value)}
    return str(value)


def _prefixed(iri: Node) -> str:
    text = str(iri)
    return next(
        (
            f"{prefix}:{text.removeprefix(base)}"
            for prefix, base in _PREFIXES.items()
            if text.startswith(base)
        ),
        text,
    )

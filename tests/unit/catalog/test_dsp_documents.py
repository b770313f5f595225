"""The DSP catalog is read back as it was written, and read liberally from others."""

import json

import pytest

from catalog.dsp import read_dsp_catalog, to_dsp_catalog, to_dsp_dataset
from catalog.errors import CatalogDocumentError
from tests.unit.catalog.example_catalog import catalog, columns, dataset, offer_document


def _through_json(document: object) -> object:
    return json.loads(json.dumps(document))


def test_a_consumer_learns_the_table_the_columns_and_the_offer() -> None:
    view = read_dsp_catalog(_through_json(to_dsp_catalog(catalog())))

    assert view.participant_id == "did:web:stadtwerke-rheinaue.example"
    (found,) = view.datasets
    assert found.table == "load_profiles"
    assert found.columns == columns()
    assert found.offers == (offer_document(),)
    assert found.formats == ("AllmendeQuery-PULL", "AllmendeCompute-PULL")
    assert found.endpoint == "https://stadtwerke-rheinaue.example/dsp/2025-1"
    assert found.title == {"de": "Lastprofile Rheinaue 2016", "en": "Load profiles Rheinaue 2016"}


def test_a_withdrawn_dataset_is_not_in_the_catalog() -> None:
    document = to_dsp_catalog(catalog(dataset(publishing=False)))

    assert "dataset" not in document


def test_an_offer_in_a_dataset_carries_no_target() -> None:
    document = to_dsp_dataset(dataset(), catalog())

    assert "target" not in document["hasPolicy"][0]


def test_writing_twice_gives_the_same_document() -> None:
    assert json.dumps(to_dsp_catalog(catalog())) == json.dumps(to_dsp_catalog(catalog()))


OTHER_CONNECTOR = {
    "@context": {"dcat": "http://www.w3.org/ns/dcat#"},
    "@id": "c",
    "@type": "dcat:Catalog",
    "dspace:participantId": {"@id": "did:web:edc.example"},
    "dcat:service": {"@id": "s", "@type": "dcat:DataService", "dcat:endpointURL": "https://edc.example/dsp"},
    "dcat:dataset": {
        "@id": "asset-1",
        "@type": "dcat:Dataset",
        "odrl:hasPolicy": {"@id": "o", "@type": "odrl:Offer"},
        "dcat:distribution": {"dct:format": {"@id": "HttpData-PULL"}, "dcat:accessService": "s"},
    },
}


def test_one_object_instead_of_a_list_and_prefixed_names_are_read() -> None:
    view = read_dsp_catalog(OTHER_CONNECTOR)

    assert view.participant_id == "did:web:edc.example"
    (found,) = view.datasets
    assert (found.identifier, found.formats) == ("asset-1", ("HttpData-PULL",))
    assert found.offers == ({"@id": "o", "@type": "odrl:Offer"},)
    assert found.endpoint == "https://edc.example/dsp"
    assert (found.table, found.columns) == (None, ())


def test_datasets_of_a_nested_catalog_are_read_with_their_own_service() -> None:
    inner = {**OTHER_CONNECTOR, "@type": "Catalog"}
    outer = {"@type": "Catalog", "@id": "r", "participantId": "did:web:region.example", "catalog": [inner]}

    (found,) = read_dsp_catalog(outer).datasets

    assert found.endpoint == "https://edc.example/dsp"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "no @type Catalog"),
        ({"@type": "CatalogError"}, "no @type Catalog"),
        ({"@type": "Catalog", "@id": "c"}, "participantId"),
        ({"@type": "Catalog", "participantId": "did:web:a.example", "dataset": [{}]}, "@id"),
    ],
)
def test_what_is_no_catalog_is_refused_with_the_missing_part(document: object, named: str) -> None:
    with pytest.raises(CatalogDocumentError, match=named):
        read_dsp_catalog(document)


@pytest.mark.parametrize(
    "column",
    [
        "profile",
        {"name": "a", "type": "float"},
        {"name": "a", "type": "float", "role": "owner"},
        {"name": 7, "type": "float", "role": "measure"},
        {"name": "a", "type": "float", "role": "measure", "step": "0.1"},
        {"name": "a", "type": "float", "role": "measure", "step": 0},
        {"name": "a", "type": "float", "role": "measure", "step": True},
        {"name": "a", "type": "float", "role": "measure", "step": float("nan")},
    ],
)
def test_a_malformed_column_is_refused_and_names_the_dataset(column: object) -> None:
    document = to_dsp_catalog(catalog())
    document["dataset"][0]["https://w3id.org/allmende/v1#columns"] = {"@type": "@json", "@value": [column]}

    with pytest.raises(CatalogDocumentError, match="urn:uuid:3dd1add8"):
        read_dsp_catalog(document)


def test_a_column_named_twice_is_refused() -> None:
    document = to_dsp_catalog(catalog(dataset(columns=(columns()[0], columns()[0]))))

    with pytest.raises(CatalogDocumentError, match="names a column twice"):
        read_dsp_catalog(document)


def test_a_catalog_nested_without_end_is_refused() -> None:
    document: dict[str, object] = {"@type": "Catalog", "participantId": "did:web:a.example"}
    for _ in range(2000):
        document = {"@type": "Catalog", "participantId": "did:web:a.example", "catalog": [document]}

    with pytest.raises(CatalogDocumentError, match="nests more than"):
        read_dsp_catalog(document)

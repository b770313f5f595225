"""The catalog as dataspace participants exchange it: DSP 2025-1 JSON, written and read.

The DSP knows no table and no columns. Both travel as extra properties under
full IRIs, which every other connector may ignore and ours reads.

Source:
    DSP 2025-1, catalog protocol and its JSON Schemas.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from catalog.errors import CatalogDocumentError
from catalog.model import Catalog, Column, ColumnRole, Dataset
from policies.model import LanguageMap
from schemas.vocabulary import ALLMENDE, DCAT, DCT, DSPACE, DSPACE_CONTEXT, ODRL

TITLE: Final = DCT + "title"
DESCRIPTION: Final = DCT + "description"
TABLE: Final = ALLMENDE + "table"
COLUMNS: Final = ALLMENDE + "columns"
ROWS: Final = ALLMENDE + "rows"
DIGEST: Final = ALLMENDE + "digest"

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset as another participant's catalog shows it.

    Attributes:
        identifier: The dataset's IRI.
        title: Per language; a title without language stands under `und`.
        description: Per language, likewise.
        table: Name under which SQL statements address it; None where the
            provider states none, so that it cannot be queried.
        columns: What a row holds; empty where the provider states none.
        formats: DSP transfer formats in which it can be used.
        offers: The offers as received, unread.
        endpoint: DSP base address at which it is negotiated.
    """

    identifier: str
    title: LanguageMap
    description: LanguageMap
    table: str | None
    columns: tuple[Column, ...]
    formats: tuple[str, ...]
    offers: tuple[Mapping[str, object], ...]
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class CatalogView:
    """Another participant's catalog, as far as a consumer needs it.

    Attributes:
        participant_id: The provider's DID.
        title: Per language, as in `DatasetView`.
        datasets: What is offered, in the stated order, those of nested catalogs last.
    """

    participant_id: str
    title: LanguageMap
    datasets: tuple[DatasetView, ...]


def to_dsp_catalog(catalog: Catalog) -> Document:
    """Write a catalog as the answer to a CatalogRequestMessage.

    Args:
        catalog: The participant's catalog; withdrawn datasets are left out.

    Returns:
        Compact DSP JSON, valid under the published JSON Schema.

    Source:
        DSP 2025-1, catalog-schema.json.
    """
    document: Document = {
        "@context": [DSPACE_CONTEXT],
        "@id": catalog.identifier,
        "@type": "Catalog",
        "participantId": catalog.participant_id,
        TITLE: catalog.title,
        "service": [_service(catalog)],
    }
    # An empty array is invalid, an absent one is not.
    if catalog.published:
        document["dataset"] = [_dataset(dataset, catalog) for dataset in catalog.published]
    return document


def to_dsp_dataset(dataset: Dataset, catalog: Catalog) -> Document:
    """Write one dataset as the answer to a request for it.

    Args:
        dataset: The dataset.
        catalog: The catalog that offers it.

    Returns:
        Compact DSP JSON with its own `@context`.

    Source:
        DSP 2025-1, dataset-schema.json.
    """
    return {"@context": [DSPACE_CONTEXT], **_dataset(dataset, catalog)}


def _service(catalog: Catalog) -> Document:
    return {
        "@id": catalog.service_identifier,
        "@type": "DataService",
        "endpointURL": catalog.endpoint_url,
    }


def _dataset(dataset: Dataset, catalog: Catalog) -> Document:
    return {
        "@id": dataset.identifier,
        "@type": "Dataset",
        TITLE: _languages(dataset.title),
        DESCRIPTION: _languages(dataset.description),
        TABLE: dataset.table,
        COLUMNS: {"@type": "@json", "@value": [_column(column) for column in dataset.columns]},
        ROWS: dataset.rows,
        DIGEST: dataset.digest,
        "hasPolicy": [dataset.offer.document],
        "distribution": [_distribution(name, dataset, catalog) for name in dataset.formats],
    }


def _distribution(transfer_format: str, dataset: Dataset, catalog: Catalog) -> Document:
    return {
        "@id": f"{dataset.identifier}#{transfer_format}",
        "@type": "Distribution",
        "format": transfer_format,
        # In full, not by reference: some connectors do not follow the reference.
        "accessService": _service(catalog),
    }


def _languages(texts: LanguageMap) -> list[Document]:
    return [{"@value": text, "@language": language} for language, text in sorted(texts.items())]


def _column(column: Column) -> Document:
    document: Document = {
        "name": column.name,
        "type": column.data_type,
        "role": column.role.value,
        "description": dict(column.description),
    }
    if column.unit is not None:
        document["unit"] = column.unit
    if column.step is not None:
        document["step"] = column.step
    return document


def read_dsp_catalog(document: object) -> CatalogView:
    """Read the catalog that another participant answered with.

    Shapes are taken liberally, as connectors in the field differ: one object
    for a list of one, prefixed or full property names, a service by reference
    or in full. Offers are handed on unread.

    Args:
        document: The parsed JSON body.

    Returns:
        What the catalog offers.

    Raises:
        CatalogDocumentError: It is no catalog, or a dataset in it contradicts
            itself; the sentence names the place.
    """
    if not isinstance(document, Mapping) or not _is_a(document, "Catalog"):
        raise CatalogDocumentError(
            "The answer is not a DSP catalog: it has no @type Catalog. Check the provider's address."
        )
    participant = _text(_first(document, DSPACE, "participantId"))
    if participant is None:
        raise CatalogDocumentError(
            "The catalog does not say whose it is: participantId is missing. Ask the provider to add it."
        )
    services: dict[str, str] = {}
    for catalog in _nested(document):
        services |= _services(catalog)
    datasets = (
        _read_dataset(dataset, services, _single_endpoint(_services(catalog)))
        for catalog in _nested(document)
        for dataset in _objects(catalog, DCAT, "dataset")
    )
    return CatalogView(participant, _read_languages(document, TITLE), tuple(datasets))


_DEPTH: Final = 8
_PREFIXES: Final = {DCAT: "dcat:", DCT: "dct:", ODRL: "odrl:", DSPACE: "dspace:", ALLMENDE: "allmende:"}


def _nested(catalog: Mapping[str, object], depth: int = 0) -> Iterator[Mapping[str, object]]:
    if depth > _DEPTH:
        raise CatalogDocumentError(f"The catalog nests more than {_DEPTH} catalogs. Ask for the inner ones.")
    yield catalog
    for inner in _objects(catalog, DCAT, "catalog"):
        yield from _nested(inner, depth + 1)


def _services(catalog: Mapping[str, object]) -> dict[str, str]:
    stated = ((_identifier(one), _endpoint(one)) for one in _objects(catalog, DCAT, "service"))
    return {name: endpoint for name, endpoint in stated if name and endpoint}


def _single_endpoint(services: Mapping[str, str]) -> str | None:
    return next(iter(services.values())) if len(services) == 1 else None


def _endpoint(service: Mapping[str, object]) -> str | None:
    return _text(_first(service, DCAT, "endpointURL"))


def _read_dataset(
    dataset: Mapping[str, object], services: Mapping[str, str], fallback: str | None
) -> DatasetView:
    identifier = _identifier(dataset)
    if identifier is None:
        raise CatalogDocumentError("A dataset of the catalog has no @id. Ask the provider to add it.")
    distributions = tuple(_objects(dataset, DCAT, "distribution"))
    formats = (_text(_first(one, DCT, "format")) for one in distributions)
    endpoints = (_access_endpoint(one, services) for one in distributions)
    return DatasetView(
        identifier=identifier,
        title=_read_languages(dataset, TITLE),
        description=_read_languages(dataset, DESCRIPTION),
        table=_text(_first(dataset, ALLMENDE, "table")),
        columns=_read_columns(dataset, identifier),
        formats=tuple(dict.fromkeys(name for name in formats if name)),
        offers=tuple(_objects(dataset, ODRL, "hasPolicy")),
        endpoint=next((one for one in endpoints if one), fallback),
    )


def _access_endpoint(distribution: Mapping[str, object], services: Mapping[str, str]) -> str | None:
    service = _first(distribution, DCAT, "accessService")
    if isinstance(service, Mapping):
        return _endpoint(service) or services.get(_identifier(service) or "")
    return services.get(service) if isinstance(service, str) else None


def _read_columns(dataset: Mapping[str, object], identifier: str) -> tuple[Column, ...]:
    stated = _values(dataset, ALLMENDE, "columns")
    if len(stated) == 1 and isinstance(stated[0], Mapping) and "@value" in stated[0]:
        literal = stated[0]["@value"]
        stated = literal if isinstance(literal, list) else [literal]
    try:
        columns = tuple(_read_column(one) for one in stated)
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogDocumentError(
            f"The columns of dataset {identifier} cannot be read: {error}. "
            "Ask the provider to publish the dataset again."
        ) from error
    if len({column.name for column in columns}) != len(columns):
        raise CatalogDocumentError(
            f"Dataset {identifier} names a column twice. Ask the provider to correct it."
        )
    return columns


def _read_column(stated: object) -> Column:
    if not isinstance(stated, Mapping):
        raise TypeError("a column is not a JSON object")
    step = stated.get("step")
    unit = stated.get("unit")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float)):
        raise TypeError(f"the step of a column is not a number but {step!r}")
    if step is not None and not 0 < step < float("inf"):
        raise ValueError(f"the step of a column is not positive and finite but {step!r}")
    return Column(
        name=_required_text(stated, "name"),
        data_type=_required_text(stated, "type"),
        role=ColumnRole(_required_text(stated, "role")),
        description=_language_map(stated.get("description")),
        unit=None if unit is None else _required_text(stated, "unit"),
        step=None if step is None else float(step),
    )


def _required_text(stated: Mapping[str, object], name: str) -> str:
    value = stated.get(name)
    if not isinstance(value, str) or not value:
        raise TypeError(f"a column's {name} is not text but {value!r}")
    return value


def _language_map(stated: object) -> LanguageMap:
    if not isinstance(stated, Mapping):
        return {}
    return {str(language): text for language, text in stated.items() if isinstance(text, str)}


def _read_languages(node: Mapping[str, object], iri: str) -> LanguageMap:
    texts: dict[str, str] = {}
    for value in _values(node, DCT, iri.removeprefix(DCT)):
        text = _text(value)
        if text is not None:
            language = value.get("@language") if isinstance(value, Mapping) else None
            texts[language if isinstance(language, str) else "und"] = text
    return texts


def _values(node: Mapping[str, object], namespace: str, term: str) -> list[object]:
    for key in (term, _PREFIXES[namespace] + term, namespace + term):
        if key in node:
            value = node[key]
            return value if isinstance(value, list) else [value]
    return []


def _first(node: Mapping[str, object], namespace: str, term: str) -> object:
    return next(iter(_values(node, namespace, term)), None)


def _objects(node: Mapping[str, object], namespace: str, term: str) -> Iterator[Mapping[str, object]]:
    return (value for value in _values(node, namespace, term) if isinstance(value, Mapping))


def _text(value: object) -> str | None:
    """The text of a plain string, a value object or a reference."""
    if isinstance(value, Mapping):
        value = value.get("@value", value.get("@id"))
    return value if isinstance(value, str) and value else None


def _identifier(node: Mapping[str, object]) -> str | None:
    return _text(node.get("@id"))


def _is_a(node: Mapping[str, object], name: str) -> bool:
    stated = node.get("@type")
    types = stated if isinstance(stated, list) else [stated]
    return any(one in {name, "dcat:" + name, DCAT + name} for one in types)

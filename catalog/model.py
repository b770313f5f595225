"""A participant's catalog: datasets, their columns, their distributions and offers.

Source:
    DCAT 3 (https://www.w3.org/TR/vocab-dcat-3/), DSP 2025-1 catalog.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from policies.model import LanguageMap, Policy


class ColumnRole(StrEnum):
    """What a column of a table is for."""

    DIMENSION = "dimension"
    """A category with published values: queries may group and filter by it."""
    TIME = "time"
    """A point in time: queries may group and filter by its parts (hour, weekday, month)."""
    MEASURE = "measure"
    """A number: queries may aggregate it."""
    UNIT = "unit"
    """Names whom a row is about: counted for group sizes, never released."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column as its steward describes it.

    Attributes:
        name: Name in the table: lower-case letters, digits and underscores.
        data_type: Arrow type in Arrow's own notation, such as `timestamp[us, tz=UTC]`.
        role: What the column is for.
        description: What it means, per language.
        unit: Unit of measurement as a UCUM code, such as `kW`; None where there is none.
        step: Smallest released step of an extreme value of a measure, in `unit`;
            None where extremes are not released.
    """

    name: str
    data_type: str
    role: ColumnRole
    description: LanguageMap
    unit: str | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A policy under which a dataset may be used, with its wire form.

    Attributes:
        policy: The policy as the engine reads it.
        document: The same offer as compact DSP JSON, without a target.
    """

    policy: Policy
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a participant offers.

    Attributes:
        identifier: Stable IRI, such as `urn:uuid:…`.
        table: Name under which SQL statements address it; datasets of several
            participants with the same table name and columns form one federated table.
        title: Per language.
        description: Per language.
        keywords: Free keywords.
        license: IRI of the licence of the data.
        source_note: Where the data come from, in words.
        columns: What a row holds, in the table's order.
        rows: Number of rows.
        digest: SHA-256 of the data file, 64 lower-case hexadecimal digits.
        formats: DSP transfer formats in which it can be used.
        offer: Under which terms.
        issued: When it was first published.
        modified: When it was last changed.
        publishing: False once the offer has been withdrawn.
        themes: Codes of the EU data themes that it belongs to, such as `ENER`.
    """

    identifier: str
    table: str
    title: LanguageMap
    description: LanguageMap
    keywords: tuple[str, ...]
    license: str
    source_note: LanguageMap
    columns: tuple[Column, ...]
    rows: int
    digest: str
    formats: tuple[str, ...]
    offer: Offer
    issued: datetime
    modified: datetime
    publishing: bool = True
    themes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All offers of one participant.

    Attributes:
        participant_id: The participant's DID.
        title: Name of the participant.
        identifier: IRI of the catalog.
        public_url: Base address of the public listener, without a trailing slash.
        service_identifier: IRI of the data service that all distributions name.
        endpoint_url: DSP base address of that service.
        datasets: What is offered, oldest first.
        contact_email: Where a person answers questions about the data; None where
            the participant names nobody.
    """

    participant_id: str
    title: str
    identifier: str
    public_url: str
    service_identifier: str
    endpoint_url: str
    datasets: tuple[Dataset, ...]
    contact_email: str | None = None

    @property
    def published(self) -> tuple[Dataset, ...]:
        """The datasets that are on offer now: withdrawn ones are left out."""
        return tuple(dataset for dataset in self.datasets if dataset.publishing)

    def find(self, key: str) -> Dataset | None:
        """The published dataset whose page has this key, if there is one.

        Args:
            key: Last path segment of the dataset's page, see `page_key`.
        """
        return next((one for one in self.published if page_key(one.identifier) == key), None)


def page_key(identifier: str) -> str:
    """The last path segment of a dataset's public page.

    Args:
        identifier: The dataset's IRI.

    Returns:
        The UUID of a `urn:uuid:` IRI; any other identifier as it is.
    """
    return identifier.removeprefix("urn:uuid:")


def dataset_page(catalog: Catalog, dataset: Dataset) -> str:
    """The public address of the page that describes a dataset to people.

    Args:
        catalog: The catalog that offers it.
        dataset: The dataset.
    """
    return f"{catalog.public_url}/datasets/{quote(page_key(dataset.identifier), safe='')}"

"""What a dataset is, as both parties of an agreement can write it down from what they know.

The provider writes it from its own records, the consumer from the catalog that
it has read; where they differ, the consumer agreed to something else.
"""

from collections.abc import Mapping
from typing import Protocol

from catalog.model import Column


class Described(Protocol):
    """A dataset of ours, or one in another participant's catalog."""

    @property
    def identifier(self) -> str:
        """IRI of the dataset."""
        ...

    @property
    def title(self) -> Mapping[str, str]:
        """Per language."""
        ...

    @property
    def description(self) -> Mapping[str, str]:
        """Per language."""
        ...

    @property
    def table(self) -> str | None:
        """Name of the table."""
        ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a row holds."""
        ...


def describe(dataset: Described) -> dict[str, object]:
    """A dataset's description as JSON: what it is called, what it means, and its columns."""
    return {
        "identifier": dataset.identifier,
        "title": dict(dataset.title),
        "description": dict(dataset.description),
        "table": dataset.table,
        "columns": [
            {
                "name": column.name,
                "data_type": column.data_type,
                "role": column.role.value,
                "description": dict(column.description),
                "unit": column.unit,
                "step": column.step,
            }
            for column in dataset.columns
        ],
    }

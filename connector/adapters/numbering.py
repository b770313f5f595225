"""Number texts: each is written once into a projection for queries, and rows hold its number.

What reads the file gets the same texts. Numbers are handed out in the order in which texts
come, of the rows that are left after filters and masks and of no others: a text that is withheld
is not among them.
"""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

MOST_TEXTS: Final = 1 << 14
"""With more different ones the engine is slower over numbers than over the texts themselves."""
_MOST_BYTES: Final = 16 << 20
_NUMBER: Final = pa.int16()


class TooManyTextsError(Exception):
    """A column has too many different texts to number them.

    Attributes:
        column: Its name.
    """

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class Numbering:
    """The numbers of the texts of one table, whose batches come one after the other."""

    def __init__(self, schema: pa.Schema, spared: frozenset[str]) -> None:
        """Start with no text known.

        Args:
            schema: The batches' columns.
            spared: Columns that keep their texts.
        """
        self._texts: dict[str, Any] = {
            # Number 0 is the empty text, used or not: Arrow adds to a dictionary that has
            # something, and would replace one that has nothing, which a file cannot hold.
            field.name: pa.array([""], field.type)
            for field in schema
            if field.name not in spared and _is_text(field.type)
        }
        self.schema = pa.schema([self._field(field) for field in schema])
        """The columns of what `batch` gives."""

    def _field(self, field: "pa.Field[Any]") -> "pa.Field[Any]":
        if field.name not in self._texts:
            return field
        return pa.field(field.name, pa.dictionary(_NUMBER, field.type), field.nullable)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give the same rows with numbered texts.

        Raises:
            TooManyTextsError: A column has more different texts than are numbered.
        """
        arrays = [
            self._numbered(name, batch.column(name)) if name in self._texts else batch.column(name)
            for name in self.schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _numbered(self, name: str, values: Any) -> Any:  # noqa: ANN401 - Arrow's arrays of any type
        found = values.dictionary_encode()
        numbers = pc.index_in(found.dictionary, value_set=self._texts[name])
        if numbers.null_count:
            new = found.dictionary.filter(numbers.is_null())
            self._texts[name] = pa.concat_arrays([self._texts[name], new])
            if len(self._texts[name]) > MOST_TEXTS or self._texts[name].nbytes > _MOST_BYTES:
                raise TooManyTextsError(name)
            numbers = pc.index_in(found.dictionary, value_set=self._texts[name])
        return pa.DictionaryArray.from_arrays(numbers.cast(_NUMBER).take(found.indices), self._texts[name])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

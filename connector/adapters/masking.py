"""Apply masks and row filters to Arrow data: what is hidden here is in no projection."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from policies.masks import Mask, MaskMethod, masks_of
from policies.model import Operator
from policies.row_filters import FilterValue, RowFilter
from schemas.errors import WordedError

_HASH_DIGITS: Final = 32


class MisfitError(WordedError):
    """A mask or a row filter cannot be applied to its column."""


def needed_columns(columns: Sequence[str], filters: Sequence[RowFilter]) -> tuple[str, ...]:
    """Name what has to be read for some columns: these, and those that decide which rows are taken."""
    return tuple(dict.fromkeys((*columns, *(one.column for one in filters))))


def redacted_schema(schema: pa.Schema, columns: Sequence[str], masks: Sequence[Mask]) -> pa.Schema:
    """Give the schema of the changed data.

    Raises:
        MisfitError: A mask does not fit its column's type.
    """
    return pa.schema([_redacted_field(schema.field(name), masks) for name in columns])


def _redacted_field(field: "pa.Field[Any]", masks: Sequence[Mask]) -> "pa.Field[Any]":
    kind = field.type
    for mask in masks_of(field.name, masks):
        if mask.method is MaskMethod.HASH:
            kind = pa.string()
        elif not _fits(mask, kind):
            raise MisfitError(
                f"The mask {mask.method} does not fit the column {field.name} of type {kind}.",
                f"Die Maske {mask.method} passt nicht zur Spalte {field.name} vom Typ {kind}.",
            )
    return pa.field(field.name, kind)


def _fits(mask: Mask, kind: pa.DataType) -> bool:
    if mask.method is MaskMethod.NULL:
        return True
    if mask.method is MaskMethod.TRUNCATE:
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    temporal = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return temporal if mask.step in _UNITS else numeric


def redacted_batch(
    batch: pa.RecordBatch,
    schema: pa.Schema,
    masks: Sequence[Mask],
    filters: Sequence[RowFilter],
    hash_key: bytes,
) -> pa.RecordBatch:
    """Take the rows that the filters leave, and mask their columns.

    Args:
        batch: Rows with at least the columns of `needed_columns`.
        schema: What comes out, from `redacted_schema`.
        masks: How columns are changed.
        filters: Which rows are taken; all of them have to hold.
        hash_key: Key of the masks that hash, from `connector.adapters.mask_keys`.

    Raises:
        MisfitError: A filter's value does not fit its column.
    """
    for one in filters:
        # A comparison with nothing is nothing, and such a row is dropped.
        batch = batch.filter(_checked(batch.column(one.column), one))
    arrays = [_masked(batch.column(field.name), field.name, masks, hash_key) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _checked(values: Any, one: RowFilter) -> Any:  # noqa: ANN401 - Arrow's arrays of any type
    try:
        return _satisfied(values, one)
    except (pa.ArrowException, OverflowError):
        raise MisfitError(
            f"A value of a row filter does not fit the column {one.column} of type {values.type}.",
            f"Ein Wert eines Zeilenfilters passt nicht zur Spalte {one.column} vom Typ {values.type}.",
        ) from None


def _satisfied(values: Any, one: RowFilter) -> Any:  # noqa: ANN401 - Arrow's arrays of any type
    if one.operator in _COMPARISONS:
        return _COMPARISONS[one.operator](values, _as(one.values[0], values.type))
    member = pc.and_kleene(pc.is_in(values, value_set=_listed(one.values, values.type)), pc.is_valid(values))
    if one.operator is Operator.IS_ANY_OF:
        return member
    return pc.and_(pc.is_valid(values), pc.invert(member))


def _listed(stated: Sequence[FilterValue], kind: pa.DataType) -> Any:  # noqa: ANN401 - as above
    """Write a list of values as an array at once: a register of consents has many."""
    if any(isinstance(value, str) != _is_written_as_text(kind) for value in stated):
        raise pa.ArrowInvalid("texts are compared with texts, numbers with numbers")
    values: list[Any] = list(stated)
    return pa.array(values).cast(kind) if values else pa.array([], kind)


def _as(value: FilterValue, kind: pa.DataType) -> "pa.Scalar[Any]":
    if isinstance(value, str) != _is_written_as_text(kind):
        raise pa.ArrowInvalid("texts are compared with texts, numbers with numbers")
    return pa.scalar(value).cast(kind)


def _is_written_as_text(kind: pa.DataType) -> bool:
    """Tell whether values of a type are written as texts in a filter."""
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return texts or pa.types.is_timestamp(kind) or pa.types.is_date(kind)


_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    Operator.EQ: pc.equal,
    Operator.NEQ: pc.not_equal,
    Operator.LT: pc.less,
    Operator.LTEQ: pc.less_equal,
    Operator.GT: pc.greater,
    Operator.GTEQ: pc.greater_equal,
}


def _masked(values: Any, name: str, masks: Sequence[Mask], key: bytes) -> Any:  # noqa: ANN401 - as above
    for mask in masks_of(name, masks):
        values = _MASKS[mask.method](values, mask, key)
    return values


def _truncated(values: Any, mask: Mask, _key: bytes) -> Any:  # noqa: ANN401 - as above
    return pc.utf8_slice_codeunits(values, 0, mask.length)


def _generalised(values: Any, mask: Mask, _key: bytes) -> Any:  # noqa: ANN401 - as above
    step = mask.step or ""
    if step in _UNITS:
        floored: Any = pc.call_function(
            "floor_temporal", [values], pc.RoundTemporalOptions(unit=_UNITS[step])
        )
        return floored.cast(values.type)
    if pa.types.is_floating(values.type) or not step.isdigit():
        size = float(step)
        return pc.multiply(pc.floor(pc.divide(values.cast(pa.float64()), size)), size).cast(
            values.type, safe=False
        )
    size_of_whole = pa.scalar(int(step), pa.int64())
    whole = values.cast(pa.int64())
    quotient = pc.divide(whole, size_of_whole)
    # Whole numbers are divided towards zero; below zero the multiple below is one further.
    below = pc.less(pc.subtract(whole, pc.multiply(quotient, size_of_whole)), pa.scalar(0))
    return pc.multiply(pc.subtract(quotient, below.cast(pa.int64())), size_of_whole).cast(
        values.type, safe=False
    )


def _hashed(values: Any, mask: Mask, key: bytes) -> Any:  # noqa: ANN401 - as above
    if not key:
        raise MisfitError(
            f"There is no key to hash the column {mask.column} with.",
            f"Es gibt keinen Schlüssel, mit dem die Spalte {mask.column} gehasht werden könnte.",
        )
    encoded = values.cast(pa.string()).dictionary_encode()
    hashes = [_keyed_hash(key, mask.column, text) for text in encoded.dictionary.to_pylist()]
    return pa.array(hashes, pa.string()).take(encoded.indices)


def _keyed_hash(key: bytes, column: str, text: str) -> str:
    message = column.encode() + b"\0" + text.encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def _nothing(values: Any, _mask: Mask, _key: bytes) -> Any:  # noqa: ANN401 - as above
    return pa.nulls(len(values), values.type)


_Unit = Literal["minute", "hour", "day", "week", "month", "quarter", "year"]
_UNITS: Final[Mapping[str, _Unit]] = {
    "minute": "minute",
    "hour": "hour",
    "day": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
    "year": "year",
}
_MASKS: Final[Mapping[MaskMethod, Callable[[Any, Mask, bytes], Any]]] = {
    MaskMethod.TRUNCATE: _truncated,
    MaskMethod.GENERALISE: _generalised,
    MaskMethod.HASH: _hashed,
    MaskMethod.NULL: _nothing,
}

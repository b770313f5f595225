"""Cut data files down to what an agreement permits, as Arrow files that can be mapped into memory.

A query or a job gets its data only from such a projection: a column or a row that is
withheld is not in the file, and a masked column is there only as it looks masked, so
nothing that runs over the file can reach what is hidden.
"""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from connector.adapters.masking import agreement_key, needed_columns, redacted_batch, redacted_schema
from connector.queries.errors import DataUnreadableError
from connector.queries.permitted import Redaction

__all__ = ["ArrowProjections", "DataUnreadableError", "TableDescription"]

_BATCH_ROWS: Final = 131_072
_UNCHANGED: Final = Redaction()


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What a data file holds.

    Attributes:
        columns: Name and Arrow type, in the file's order. Types are those of a
            projection: dictionary encoding is undone, times are of microseconds.
        rows: Number of rows.
        digest: SHA-256 of the file, 64 lower-case hexadecimal digits.
    """

    columns: tuple[tuple[str, str], ...]
    rows: int
    digest: str


class ArrowProjections:
    """Projections of data files in one directory, each made once.

    Reads Parquet (`.parquet`), CSV with a header line (`.csv`) and Arrow IPC
    (`.arrow`, `.arrows`, `.feather`, `.ipc`; the file or the stream format).

    Limitation: projections are kept until somebody deletes them.
    """

    def __init__(self, directory: Path, secret: bytes = b"") -> None:
        """Keep projections in a directory, which is made when it is first needed.

        Args:
            directory: Where they are kept.
            secret: What the keys of masks that hash are derived from; without
                it such a mask makes the data unreadable.
        """
        self._directory = directory
        self._secret = secret

    async def describe(self, source: Path) -> TableDescription:
        """Tell what a data file holds.

        Args:
            source: The file.

        Raises:
            DataUnreadableError: It is missing, of an unknown kind, or malformed.
        """
        return await asyncio.to_thread(_describe, source)

    async def materialise(
        self, source: Path, columns: Sequence[str], key: str, redaction: Redaction = _UNCHANGED
    ) -> Path:
        """Give an uncompressed Arrow IPC file with only the permitted columns and rows.

        Args:
            source: The data file.
            columns: Which columns, in which order.
            key: Digest of the data file: the same digest, columns and redaction
                give the same projection without reading the source again.
            redaction: Masks and row filters.

        Returns:
            A file that only the connector's own user can read.

        Raises:
            DataUnreadableError: The source is missing, of an unknown kind,
                malformed, or lacks a column, or a mask or filter does not fit
                its column. No file is left behind.
        """
        target = self._directory / f"{_name(columns, key, redaction)}.arrow"
        hash_key = agreement_key(self._secret, redaction.agreement) if self._secret else b""
        return await asyncio.to_thread(_materialise, source, tuple(columns), target, redaction, hash_key)


def _name(columns: Sequence[str], key: str, redaction: Redaction) -> str:
    parts = [key, *columns]
    if redaction != _UNCHANGED:
        parts += [repr(redaction.masks), repr(redaction.filters), redaction.agreement]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _materialise(
    source: Path, columns: Sequence[str], target: Path, redaction: Redaction, hash_key: bytes
) -> Path:
    if target.exists():
        return target
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _sentences(source), _temporary(target.parent) as (path, descriptor):
        wanted = needed_columns(columns, redaction)
        with os.fdopen(descriptor, "wb") as file, _open(source, wanted) as (schema, batches):
            left = redacted_schema(schema, columns, redaction)
            _write(file, left, (redacted_batch(batch, left, redaction, hash_key) for batch in batches))
            file.flush()
            os.fsync(file.fileno())
        path.replace(target)
    return target


def _write(file: BufferedWriter, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    options = pa.ipc.IpcWriteOptions(compression=None)
    with pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextlib.contextmanager
def _temporary(directory: Path) -> Iterator[tuple[Path, int]]:
    """Open a file that only we can read, and leave nothing behind under its name."""
    descriptor, name = tempfile.mkstemp(dir=directory, prefix=".", suffix=".part")
    path = Path(name)
    try:
        yield path, descriptor
    finally:
        path.unlink(missing_ok=True)


def _describe(source: Path) -> TableDescription:
    with _sentences(source):
        with _open(source, None) as (schema, batches):
            rows = sum(batch.num_rows for batch in batches)
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    columns = tuple((field.name, str(field.type)) for field in schema)
    return TableDescription(columns, rows, digest)


@contextlib.contextmanager
def _sentences(source: Path) -> Iterator[None]:
    """Turn what a library says into a sentence that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataUnreadableError(
            f"The data file {source.name} does not exist. Check its path in the configuration."
        ) from None
    except PermissionError:
        raise DataUnreadableError(
            f"The data file {source.name} may not be read by the connector's user. Change its permissions."
        ) from None
    except (pa.ArrowException, OSError, UnicodeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0].replace(str(source), source.name)
        raise DataUnreadableError(f"The data file {source.name} cannot be read: {cause}.") from None


_Opened = tuple[pa.Schema, Iterator[pa.RecordBatch]]


@contextlib.contextmanager
def _open(source: Path, columns: Sequence[str] | None) -> Iterator[_Opened]:
    """Open a file for reading in batches: only the named columns, without dictionaries."""
    try:
        opener = _OPENERS[source.suffix.lower()]
    except KeyError:
        known = ", ".join(sorted(_OPENERS))
        raise DataUnreadableError(
            f"The data file {source.name} is of an unknown kind. Known are the endings {known}."
        ) from None
    if not source.is_file():
        raise FileNotFoundError(source)
    with opener(source, columns) as (schema, batches):
        names = schema.names if columns is None else list(columns)
        _check_columns(source, schema, names)
        plain = pa.schema([_plain(schema.field(name)) for name in names])
        yield plain, (_projected(batch, plain) for batch in batches)


def _check_columns(source: Path, schema: pa.Schema, names: Sequence[str]) -> None:
    if len(set(schema.names)) != len(schema.names) or len(set(names)) != len(names):
        raise DataUnreadableError(
            f"The data file {source.name} has two columns of the same name. Rename one."
        )
    for name in names:
        if name not in schema.names:
            raise DataUnreadableError(
                f"The data file {source.name} has no column {name}. Check the dataset's description."
            )


def _plain(field: "pa.Field[Any]") -> "pa.Field[Any]":
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # The engine has no nanoseconds for times with a zone.
        kind = pa.timestamp("us", kind.tz)
    return pa.field(field.name, kind, field.nullable)


def _projected(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        batch.column(batch.schema.get_field_index(field.name)).cast(
            field.type, safe=not pa.types.is_timestamp(field.type)
        )
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


_Reader = Callable[[Path, Sequence[str] | None], contextlib.AbstractContextManager[_Opened]]


@contextlib.contextmanager
def _open_parquet(source: Path, columns: Sequence[str] | None) -> Iterator[_Opened]:
    with pyarrow.parquet.ParquetFile(source) as file:
        present = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        yield file.schema_arrow, file.iter_batches(batch_size=_BATCH_ROWS, columns=present)


@contextlib.contextmanager
def _open_csv(source: Path, _columns: Sequence[str] | None) -> Iterator[_Opened]:
    with pyarrow.csv.open_csv(source) as reader:
        yield reader.schema, iter(reader)


@contextlib.contextmanager
def _open_arrow(source: Path, _columns: Sequence[str] | None) -> Iterator[_Opened]:
    with pa.memory_map(str(source)) as mapped:
        try:
            file = pa.ipc.open_file(mapped)
        except pa.ArrowInvalid:
            mapped.seek(0)
            with pa.ipc.open_stream(mapped) as reader:
                yield reader.schema, iter(reader)
            return
        yield file.schema, (file.get_batch(index) for index in range(file.num_record_batches))


_OPENERS: Final[Mapping[str, _Reader]] = {
    ".parquet": _open_parquet,
    ".csv": _open_csv,
    ".arrow": _open_arrow,
    ".arrows": _open_arrow,
    ".feather": _open_arrow,
    ".ipc": _open_arrow,
}

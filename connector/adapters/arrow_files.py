"""Read data files, and write what is left of them under masks and filters.

Only `connector.adapters.projection_program` loads this: what it needs would make a
connector larger for as long as it runs.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from connector.adapters.masking import MisfitError, needed_columns, redacted_batch, redacted_schema
from connector.adapters.numbering import Numbering, TooManyTextsError
from connector.queries.errors import DataUnreadableError
from connector.queries.writing import number_name
from policies.masks import Mask
from policies.row_filters import RowFilter
from schemas.errors import in_english

_BATCH_ROWS: Final = 131_072


def describe(source: Path) -> dict[str, Any]:
    """Tell what a data file holds: `columns` (name and type), `rows` and `digest`.

    Raises:
        DataUnreadableError: It is missing, of an unknown kind, or malformed.
    """
    with _sentences(source):
        with _open(source, None) as (schema, batches):
            rows = sum(batch.num_rows for batch in batches)
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"columns": [(field.name, str(field.type)) for field in schema], "rows": rows, "digest": digest}


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a data file.

    Attributes:
        columns: Which columns, in which order.
        masks: How columns are changed.
        filters: Which rows are taken; all of them have to hold.
        hash_key: Key of the masks that hash.
        numbered: Whether texts are numbered, for the query engine.
    """

    columns: Sequence[str]
    masks: Sequence[Mask] = ()
    filters: Sequence[RowFilter] = ()
    hash_key: bytes = b""
    numbered: bool = False


def project(source: Path, target: Path, cut: Cut) -> None:
    """Write an uncompressed Arrow IPC file with only some columns and rows, and wait for the disk.

    Args:
        source: The data file.
        target: A file that exists; what it holds is overwritten.
        cut: What is left.

    Raises:
        DataUnreadableError: The source cannot be read, or lacks a column, or a mask
            or filter does not fit its column, or a column has a name that is taken
            where texts are numbered.
    """
    if cut.numbered:
        _check_names(source, cut.columns)
    spared: set[str] = set()
    while True:
        try:
            _project(source, target, cut, frozenset(spared))
        except TooManyTextsError as many:
            # Found out on the way; the file has one schema, so it is written anew.
            spared.add(many.column)
        else:
            return


def _project(source: Path, target: Path, cut: Cut, spared: frozenset[str]) -> None:
    wanted = needed_columns(cut.columns, cut.filters)
    with _sentences(source), target.open("wb") as file, _open(source, wanted) as (schema, batches):
        left = redacted_schema(schema, cut.columns, cut.masks)
        changed = (redacted_batch(batch, left, cut.masks, cut.filters, cut.hash_key) for batch in batches)
        if cut.numbered:
            numbering = Numbering(left, spared)
            _write(file, numbering.schema, map(numbering.batch, changed))
        else:
            _write(file, left, changed)
        file.flush()
        os.fsync(file.fileno())


def _check_names(source: Path, columns: Sequence[str]) -> None:
    names = {name.lower() for name in columns}
    if taken := names & {number_name(name) for name in names}:
        raise DataUnreadableError(
            f"The data file {source.name} has a column {min(taken)!r}, "
            "which is a name of the query engine's own. Rename it.",
            f"Die Datendatei {source.name} hat eine Spalte {min(taken)!r}. "
            "So nennt die Abfrage-Engine eigene Spalten. Benennen Sie sie um.",
        )


def _write(file: BufferedWriter, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    # A text that comes late is added to those that were written before.
    options = pa.ipc.IpcWriteOptions(compression=None, emit_dictionary_deltas=True)
    with pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextlib.contextmanager
def _sentences(source: Path) -> Iterator[None]:
    """Turn what a library says into a sentence that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataUnreadableError(
            f"The data file {source.name} does not exist. Check its path.",
            f"Die Datendatei {source.name} gibt es nicht. Bitte prüfen Sie ihren Pfad.",
        ) from None
    except PermissionError:
        raise DataUnreadableError(
            f"The data file {source.name} may not be read by the connector's user. Change its permissions.",
            f"Die Datendatei {source.name} darf vom Benutzer des Connectors nicht gelesen werden. "
            "Bitte ändern Sie ihre Rechte.",
        ) from None
    except MisfitError as problem:
        raise DataUnreadableError(
            f"The data file {source.name} cannot be cut down: {problem}",
            f"Die Datendatei {source.name} kann nicht zugeschnitten werden: {problem.reason['de']}",
        ) from None
    except (pa.ArrowException, OSError, UnicodeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0].replace(str(source), source.name)
        raise DataUnreadableError(
            f"The data file {source.name} cannot be read: {cause.rstrip('.')}.",
            f"Die Datendatei {source.name} kann nicht gelesen werden {in_english(cause)}.",
        ) from None


_Opened = tuple[pa.Schema, Iterator[pa.RecordBatch]]


@contextlib.contextmanager
def _open(source: Path, columns: Sequence[str] | None) -> Iterator[_Opened]:
    """Open a file for reading in batches: only the named columns, without dictionaries."""
    try:
        opener = _OPENERS[source.suffix.lower()]
    except KeyError:
        known = ", ".join(sorted(_OPENERS))
        raise DataUnreadableError(
            f"The data file {source.name} is of an unknown kind. Known are the endings {known}.",
            f"Die Datendatei {source.name} ist von unbekannter Art. Möglich sind die Endungen {known}.",
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
            f"The data file {source.name} has two columns of the same name. Rename one.",
            f"Die Datendatei {source.name} hat zwei Spalten mit demselben Namen. Bitte benennen Sie eine um.",
        )
    for name in names:
        if name not in schema.names:
            raise DataUnreadableError(
                f"The data file {source.name} has no column {name}. Check the dataset's description.",
                f"Die Datendatei {source.name} hat keine Spalte {name}. "
                "Bitte prüfen Sie die Beschreibung des Datensatzes.",
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

"""Read registers of consents from files.

A register is read at every use, so that a consent that was withdrawn counts no
longer from the next use on. Only what has not changed is not parsed again.
"""

import asyncio
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from connector.queries.errors import DataUnreadableError
from policies.consents import REGISTER_COLUMNS, Consent, ConsentError, read_consent, require_columns
from schemas.errors import in_english

_Read = tuple[str, tuple[Consent, ...]]
"""Digest of a file, and the consents in it."""


class ConsentFiles:
    """Registers of consents as CSV with a header line (`.csv`) or Parquet (`.parquet`)."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._read: dict[Path, _Read] = {}

    async def consents(self, file: Path) -> tuple[Consent, ...]:
        """Read all consents in a register, as it is now.

        Args:
            file: The register.

        Raises:
            DataUnreadableError: It is missing, of an unknown kind, or malformed; no part of it counts then.
        """
        return await asyncio.to_thread(self._current, file)

    def _current(self, file: Path) -> tuple[Consent, ...]:
        try:
            content = file.read_bytes()
        except OSError as problem:
            raise _unreadable(file, problem.strerror) from None
        digest = hashlib.sha256(content).hexdigest()
        known = self._read.get(file)
        if known is None or known[0] != digest:
            known = digest, _parsed(file, content)
            self._read[file] = known
        return known[1]


def _parsed(file: Path, content: bytes) -> tuple[Consent, ...]:
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise DataUnreadableError(
            f"The consent register {file.name} is of an unknown kind. Known are: {known}.",
            f"Das Einwilligungsregister {file.name} ist von unbekannter Art. Möglich sind: {known}.",
        )
    try:
        table = reader(content)
        require_columns(table.column_names)
        return tuple(read_consent(row) for row in table.to_pylist())
    except ConsentError as problem:
        raise DataUnreadableError(
            f"The consent register {file.name}: {problem}",
            f"Das Einwilligungsregister {file.name}: {problem.reason['de']}",
        ) from None
    except (pa.ArrowException, UnicodeError, ValueError) as problem:
        raise _unreadable(file, (str(problem).splitlines() or [type(problem).__name__])[0]) from None


def _unreadable(file: Path, cause: object) -> DataUnreadableError:
    return DataUnreadableError(
        f"The consent register {file.name} cannot be read: {str(cause).rstrip('.')}.",
        f"Das Einwilligungsregister {file.name} kann nicht gelesen werden {in_english(cause)}.",
    )


def _csv(content: bytes) -> pa.Table:
    # As text throughout: `007` is a name and no number.
    types = dict.fromkeys(REGISTER_COLUMNS, pa.string())
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options)


def _parquet(content: bytes) -> pa.Table:
    return pyarrow.parquet.read_table(io.BytesIO(content))


_READERS: Final[Mapping[str, Callable[[bytes], pa.Table]]] = {".csv": _csv, ".parquet": _parquet}

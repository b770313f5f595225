"""Cut data files down to what an agreement permits, as Arrow files that can be mapped into memory.

A query or a job gets its data only from such a projection: a column or a row that is
withheld is not in the file, and a masked column is there only as it looks masked, so
nothing that runs over the file can reach what is hidden.
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from connector.adapters.mask_keys import agreement_key
from connector.queries.errors import DataUnreadableError
from connector.queries.permitted import Redaction
from connector.sandbox.process import kill_child
from schemas.errors import in_english

__all__ = ["ArrowProjections", "DataUnreadableError", "TableDescription"]

_PROGRAM: Final = (sys.executable, "-P", "-m", "connector.adapters.projection_program")
_AT_ONCE: Final = 2
"""Files that are read at the same time; each child takes a processor and 100 MiB or more."""
_LOGGED_BYTES: Final = 2000
_LOGGER: Final = logging.getLogger(__name__)
_UNCHANGED: Final = Redaction()
_SEPARATOR: Final = "\0"
_FAMILY_DIGITS: Final = 32
_FINISHED: Final = ".arrow"
_NUMBERED: Final = "-numbered"
_UNFINISHED: Final = ".part"


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

    Each is kept, also when the data file has changed, until `discard`. A file is
    read in a process of its own, which gives back what that takes, and whose end
    is not the connector's. It is no sandbox: the files are the provider's own.
    """

    def __init__(self, directory: Path, secret: bytes = b"", *, seconds: float = 900.0) -> None:
        """Keep projections in a directory, which is made when it is first needed.

        Args:
            directory: Where they are kept.
            secret: What the keys of masks that hash are derived from; without
                it such a mask makes the data unreadable.
            seconds: Longest time for one reading of a file.
        """
        self._directory = directory
        self._secret = secret
        self._seconds = seconds
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._turn = threading.Lock()

    async def describe(self, source: Path) -> TableDescription:
        """Tell what a data file holds.

        Args:
            source: The file.

        Raises:
            DataUnreadableError: It is missing, of an unknown kind, or malformed.
        """
        found = await self._read(source, {})
        columns = tuple((name, kind) for name, kind in found["columns"])
        return TableDescription(columns, found["rows"], found["digest"])

    async def materialise(
        self,
        source: Path,
        columns: Sequence[str],
        key: str,
        redaction: Redaction = _UNCHANGED,
        *,
        numbered: bool = False,
    ) -> Path:
        """Give an uncompressed Arrow IPC file with only the permitted columns and rows.

        Args:
            source: The data file.
            columns: Which columns, in which order.
            key: Digest of the data file: the same digest, columns and redaction
                give the same projection without reading the source again.
            redaction: Masks and row filters.
            numbered: Whether each text is written once, and rows hold its number
                (Arrow's dictionary encoding): for the query engine, which
                compares numbers faster. Columns with more than
                `connector.adapters.numbering.MOST_TEXTS` texts stay as they are.

        Returns:
            A file that only the connector's own user can read.

        Raises:
            DataUnreadableError: The source is missing, of an unknown kind,
                malformed, or lacks a column, or a mask or filter does not fit
                its column, or a column has a name that is taken where texts are
                numbered. No file is left behind.
        """
        target = self._directory / (
            _name(columns, key, redaction) + (_NUMBERED if numbered else "") + _FINISHED
        )
        hash_key = agreement_key(self._secret, redaction.agreement) if self._secret else b""
        with self._turn:
            if _is_used_again(target):
                return target
        with _writing(source, target) as unfinished:
            order = {
                "columns": tuple(columns),
                "target": str(unfinished),
                "masks": [asdict(mask) for mask in redaction.masks],
                "filters": [asdict(one) for one in redaction.filters],
                "hash_key": hash_key.hex(),
                "numbered": numbered,
            }
            await self._read(source, order)
        return target

    async def _read(self, source: Path, order: Mapping[str, Any]) -> dict[str, Any]:
        """Have the file described, or projected where there is an order."""
        request = json.dumps({"source": str(source), **order}).encode() + b"\n"
        try:
            async with self._places, asyncio.timeout(self._seconds):
                answer = await _ask(source, request)
        except TimeoutError:
            seconds = f"{self._seconds:g}"
            raise _unreadable(
                source, f"it took more than {seconds} seconds", f"es dauerte länger als {seconds} Sekunden"
            ) from None
        except OSError as problem:
            raise _unreadable(
                source,
                f"its reader does not start ({problem.strerror})",
                f"ihr Leseprogramm startet nicht {in_english(problem.strerror)}",
            ) from problem
        if "unreadable" in answer:
            raise DataUnreadableError(answer["unreadable"]["en"], answer["unreadable"]["de"])
        return answer

    async def discard(self, wanted: Collection[str], unused_since: datetime) -> int:
        """Delete projections of data files that nobody is interested in any more.

        A program that has one open keeps what it has.

        Args:
            wanted: Digests of the data files whose projections stay.
            unused_since: What was made or used later stays, too.

        Returns:
            How many were deleted; unfinished ones of a process that died count, too.
        """
        kept = frozenset(map(_family, wanted))
        found = await asyncio.to_thread(_of_other_families, self._directory, kept)
        return await asyncio.to_thread(self._deleted, found, unused_since.timestamp())

    def _deleted(self, paths: Sequence[Path], unused_since: float) -> int:
        count = 0
        for path in paths:
            # One by one: nobody may be given a projection between the look at it and its end.
            with self._turn, contextlib.suppress(OSError):
                if _last_used(path) < unused_since:
                    path.unlink()
                    count += 1
        return count


def _name(columns: Sequence[str], key: str, redaction: Redaction) -> str:
    parts = [key, *columns]
    if redaction != _UNCHANGED:
        parts += [repr(redaction.masks), repr(redaction.filters), redaction.agreement]
    return f"{_family(key)}-{hashlib.sha256(_SEPARATOR.join(parts).encode()).hexdigest()}"


def _family(key: str) -> str:
    """What the names of all projections of one data file begin with."""
    return hashlib.sha256(key.encode()).hexdigest()[:_FAMILY_DIGITS]


def _of_other_families(directory: Path, kept: Collection[str]) -> list[Path]:
    found = (path for path in directory.glob("*") if path.suffix in {_FINISHED, _UNFINISHED})
    return [path for path in found if path.name.partition("-")[0] not in kept]


def _last_used(path: Path) -> float:
    status = path.lstat()
    return max(status.st_atime, status.st_mtime)


def _is_used_again(target: Path) -> bool:
    """Whether there is this projection already; its time of access says when it was last asked for."""
    try:
        os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))
    except OSError:  # it is not there, or on a disk that can only be read: then nothing deletes it
        return target.exists()
    return True


@contextlib.contextmanager
def _writing(source: Path, target: Path) -> Iterator[Path]:
    """Give a file that only we can read; it takes the target's name in the end, or none is left."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=_UNFINISHED)
    except OSError as problem:
        raise _unreadable(
            source,
            f"its projection cannot be written ({problem.strerror})",
            f"ihre Projektion kann nicht geschrieben werden {in_english(problem.strerror)}",
        ) from problem
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


async def _ask(source: Path, request: bytes) -> dict[str, Any]:
    """Start a reader and wait for its answer; when this is cancelled, the reader has ended."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*_PROGRAM, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        answer, words = await _talk(process, request)
    finally:
        kill_child(process)
        code = await asyncio.shield(process.wait())
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        _LOGGER.warning("The reader of %s ended with %d: %r", source.name, code, words[-_LOGGED_BYTES:])
        raise _unreadable(
            source,
            "its reader failed; the connector's log says more",
            "ihr Leseprogramm ist gescheitert; mehr steht im Protokoll des Connectors",
        ) from None
    return found


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise BrokenPipeError(errno.EPIPE, "it has no pipes")
    # Its input stays open meanwhile: the reader takes the end of it for ours.
    process.stdin.write(request)
    return await asyncio.gather(process.stdout.read(), process.stderr.read())


def _unreadable(source: Path, cause: str, german: str) -> DataUnreadableError:
    return DataUnreadableError(
        f"The data file {source.name} cannot be read: {cause}.",
        f"Die Datendatei {source.name} kann nicht gelesen werden: {german}.",
    )
